package libvirt

import (
	"encoding/binary"
	"fmt"
	"net"
)

// The frame of libvirt's protocol (src/rpc/virnetprotocol.x): its length in
// bytes, then six words, and then what it carries.
const (
	frameHead = 28
	frameMax  = 32<<20 + frameHead // VIR_NET_MESSAGE_MAX and the head
	typeReply = 1                  // the word at 16
)

// frames is a connection on which a daemon can not upset go-libvirt, which
// trusts lengths (one below 28 is a panic) and hangs on a second answer to one
// question. A frame of no possible length, or a reply that is not newer than
// the one before, ends the connection.
type frames struct {
	net.Conn
	head [frameHead]byte
	have int    // bytes of head that were seen
	rest int    // bytes of the frame that are still to come
	last uint32 // serial of the last reply
}

func newFrames(conn net.Conn) *frames { return &frames{Conn: conn} }

// Read implements net.Conn. One goroutine reads.
func (f *frames) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if bad := f.check(b[:n]); bad != nil {
		_ = f.Close()
		return 0, bad
	}
	return n, err
}

// check follows the frames in b.
func (f *frames) check(b []byte) error {
	for len(b) > 0 {
		if f.have < frameHead {
			n := copy(f.head[f.have:], b)
			f.have += n
			b = b[n:]
			if f.have < frameHead {
				return nil
			}
			if err := f.begin(); err != nil {
				return err
			}
		}
		n := min(f.rest, len(b))
		f.rest -= n
		b = b[n:]
		if f.rest == 0 {
			f.have = 0
		}
	}
	return nil
}

// begin looks at a whole head.
func (f *frames) begin() error {
	length := binary.BigEndian.Uint32(f.head[0:])
	if length < frameHead || length > frameMax {
		return fmt.Errorf("libvirtd sent a frame of %d bytes", length)
	}
	f.rest = int(length) - frameHead
	serial := binary.BigEndian.Uint32(f.head[20:])
	if binary.BigEndian.Uint32(f.head[16:]) == typeReply {
		if serial <= f.last {
			return fmt.Errorf("libvirtd answered call %d after call %d", serial, f.last)
		}
		f.last = serial
	}
	return nil
}
