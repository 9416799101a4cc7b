package nstest

import (
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Tap is a socket that sends and sees whole frames on one interface.
type Tap struct {
	fd    int
	index int
	mu    sync.Mutex
	seen  [][]byte
}

// everything is ETH_P_ALL in network order.
func everything() uint16 { return binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}) }

// Tap listens on an interface of the machine until the test ends. A frame that
// came with a VLAN tag has lost it, as for any receiver there.
func (s Space) Tap(tb testing.TB, name string) *Tap {
	tb.Helper()
	t := &Tap{index: s.Index(tb, name)}
	s.Inside(tb, func() (err error) {
		t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(everything()))
		if err != nil {
			return err
		}
		patience := unix.NsecToTimeval(int64(20 * time.Millisecond))
		if err := unix.SetsockoptTimeval(t.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
			return err
		}
		return unix.Bind(t.fd, &unix.SockaddrLinklayer{Protocol: everything(), Ifindex: t.index})
	})
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t.listen(end)
	}()
	tb.Cleanup(func() {
		close(end)
		<-done
		_ = unix.Close(t.fd)
	})
	return t
}

func (t *Tap) listen(end chan struct{}) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(t.fd, buf, 0)
		select {
		case <-end:
			return
		default:
		}
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); err != nil || !ok || ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		t.mu.Lock()
		t.seen = append(t.seen, append([]byte(nil), buf[:n]...))
		t.mu.Unlock()
	}
}

// Send sends a frame.
func (t *Tap) Send(tb testing.TB, frame []byte) {
	tb.Helper()
	require.NoError(tb, unix.Sendto(t.fd, frame, 0, &unix.SockaddrLinklayer{Protocol: everything(), Ifindex: t.index}))
}

// Seen counts the frames that came in so far and that is holds for.
func (t *Tap) Seen(is func(frame []byte) bool) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.seen {
		if is(f) {
			n++
		}
	}
	return n
}
