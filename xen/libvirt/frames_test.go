package libvirt

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What go-libvirt trusts and must not get: too short a frame, one without an
// end, and two answers to one question.
func TestBrokenFrames(t *testing.T) {
	frame := func(length, serial uint32, more int) []byte {
		b := make([]byte, frameHead+more)
		binary.BigEndian.PutUint32(b, length)
		binary.BigEndian.PutUint32(b[16:], typeReply)
		binary.BigEndian.PutUint32(b[20:], serial)
		return b
	}
	for name, tc := range map[string]struct {
		sent []byte
		bad  bool
	}{
		"good":           {append(frame(32, 1, 4), frame(28, 2, 0)...), false},
		"length 0":       {frame(0, 1, 0), true},
		"length 27":      {frame(27, 1, 0), true},
		"endless":        {frame(1<<31, 1, 0), true},
		"answered twice": {append(frame(28, 7, 0), frame(28, 7, 0)...), true},
		"answered late":  {append(frame(28, 7, 0), frame(28, 6, 0)...), true},
	} {
		for _, piece := range []int{1, 7, 1000} {
			f := newFrames(nil)
			var err error
			for b := tc.sent; len(b) > 0 && err == nil; b = b[min(piece, len(b)):] {
				err = f.check(b[:min(piece, len(b))])
			}
			assert.Equal(t, tc.bad, err != nil, "%s in pieces of %d: %v", name, piece, err)
		}
	}
}

// A daemon that sends such a frame is one that hangs up.
func TestBrokenDaemon(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, frameHead))
			_, _ = conn.Write(make([]byte, 64)) // lengths of zero
		}
	}()
	_, err = New(&Options{Socket: socket}).List(t.Context())
	require.ErrorIs(t, err, errLost)
}

// However bytes are cut, frames sees the same.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x1c________\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x07\x00\x00\x00\x00"), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		whole, cut := newFrames(nil), newFrames(nil)
		want := whole.check(data)
		var got error
		for b := data; len(b) > 0 && got == nil; {
			n := min(max(int(piece), 1), len(b))
			got = cut.check(b[:n])
			b = b[n:]
		}
		require.Equal(t, want, got)
		if want == nil {
			require.Equal(t, whole, cut)
			require.LessOrEqual(t, whole.have, frameHead)
			require.LessOrEqual(t, whole.rest, frameMax)
		}
	})
}
