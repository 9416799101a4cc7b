package migrate_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/xen/host"
)

// TestSlowLine: a line on which a ping waits behind a copy for far longer than
// a dead one is given, is not taken for dead.
func TestSlowLine(t *testing.T) {
	w := newWorld(t, nil)
	inner, err := w.Connect("curacao", "islay")
	require.NoError(t, err)
	conn := newSlow(t, inner)
	keep := migrate.Keepalive{Every: 200 * time.Millisecond, Within: 400 * time.Millisecond}
	far, err := migrate.Dial(t.Context(), conn, &migrate.DialOptions{Name: "curacao", Keepalive: keep})
	require.NoError(t, err)
	defer far.Close()
	const size = 3 << 20
	image := io.LimitReader(rand.NewChaCha8([32]byte{1}), size)
	began := time.Now()
	_, err = far.Provision(t.Context(), w.Guest("web2", size), &host.ProvisionOptions{Stopped: true, Images: map[string]io.Reader{"xvda": image}})
	require.NoError(t, err)
	require.Greater(t, time.Since(began), 2*(keep.Every+keep.Within), "or the line was not slow")
}

// slow is a line of about 1.4 MB/s with 4 MB of buffers, as ssh and the kernel
// put below a connection.
type slow struct {
	net.Conn
	buffer chan []byte // of at most 32 KiB each
}

func newSlow(t *testing.T, conn net.Conn) slow {
	s := slow{conn, make(chan []byte, 128)}
	go func() {
		for p := range s.buffer {
			if _, err := conn.Write(p); err != nil {
				return
			}
			time.Sleep(22 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { conn.Close(); close(s.buffer) })
	return s
}

func (s slow) Write(p []byte) (int, error) {
	for piece := range slices.Chunk(p, 32<<10) {
		s.buffer <- bytes.Clone(piece)
	}
	return len(p), nil
}
