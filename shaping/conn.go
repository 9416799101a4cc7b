package shaping

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A message is one request to the kernel.
type message struct {
	kind, flags uint16
	body        []byte
	about       string // for the error: what it does
	// means turns what the kernel answers into an error with a word for it, or
	// into none; nil leaves it as it is.
	means func(syscall.Errno) error
}

// failed is the error that an answer to m is.
func (m message) failed(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	var err error = e
	if m.means != nil {
		err = m.means(e)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", m.about, err)
}

// A conn is a netlink socket on which many messages go out as one write, which
// is what makes a thousand guests cheap. The socket stays in the namespace in
// which it was opened.
type conn struct {
	socket *nl.NetlinkSocket
	seq    uint32
}

// room is how large one write may be: a transaction of nftables must be one.
const room = 16 << 20

func dial(space netns.NsHandle, family int) (*conn, error) {
	s, err := nl.GetNetlinkSocketAt(space, netns.None(), family)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	err = errors.Join(s.SetReceiveBufferSize(room, true),
		unix.SetsockoptInt(s.GetFd(), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, room),
		s.SetReceiveTimeout(&unix.Timeval{Sec: 20}))
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &conn{socket: s}, nil
}

func (c *conn) close() { c.socket.Close() }

// write sends messages as one write and returns the number of the first.
func (c *conn) write(messages []message) (first uint32, err error) {
	first = c.seq + 1
	var out []byte
	for _, m := range messages {
		c.seq++
		size := unix.NLMSG_HDRLEN + len(m.body)
		out = binary.NativeEndian.AppendUint32(out, uint32(size))
		out = binary.NativeEndian.AppendUint16(out, m.kind)
		out = binary.NativeEndian.AppendUint16(out, m.flags|unix.NLM_F_REQUEST)
		out = binary.NativeEndian.AppendUint32(out, c.seq)
		out = binary.NativeEndian.AppendUint32(out, 0)
		out = append(out, m.body...)
		out = append(out, make([]byte, -size&3)...)
	}
	return first, unix.Sendto(c.socket.GetFd(), out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// say sends messages, waits until all are done, and returns the first error.
// The kernel does those after a refused one too.
func (c *conn) say(messages []message) error {
	const piece = 256 // so that the answers of one write always fit
	for len(messages) > 0 {
		n := min(piece, len(messages))
		if err := c.sayPiece(messages[:n]); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// sayPiece asks for an answer to the last message only; those that are refused
// answer anyway.
func (c *conn) sayPiece(messages []message) error {
	last := len(messages) - 1
	messages[last].flags |= unix.NLM_F_ACK
	first, err := c.write(messages)
	if err != nil {
		return fmt.Errorf("%s: %w", messages[0].about, err)
	}
	return c.answers(first, last, messages)
}

// answers waits for the answer to messages[last] and returns the first error
// among them all.
func (c *conn) answers(first uint32, last int, messages []message) (failed error) {
	for {
		answers, err := c.read()
		if err != nil {
			return fmt.Errorf("%s: %w", messages[0].about, err)
		}
		for _, a := range answers {
			i := int(a.Header.Seq - first)
			if a.Header.Type != unix.NLMSG_ERROR || i < 0 || i > last {
				continue
			}
			if failed == nil {
				failed = messages[i].failed(errno(a))
			}
			if i == last {
				return failed
			}
		}
	}
}

// ask sends one request and returns the bodies of what comes back: a list with
// NLM_F_DUMP, one thing or none without.
func (c *conn) ask(m message) (bodies [][]byte, err error) {
	for range 20 { // a list that changed while it was read is read again
		if bodies, err = c.askOnce(m); !errors.Is(err, errInterrupted) {
			break
		}
	}
	var e syscall.Errno
	if errors.As(err, &e) {
		err = m.failed(e)
	}
	return bodies, err
}

var errInterrupted = errors.New("the list changed while it was read")

func (c *conn) askOnce(m message) (bodies [][]byte, err error) {
	if m.flags&unix.NLM_F_DUMP == 0 {
		m.flags |= unix.NLM_F_ACK | unix.NLM_F_ECHO
	}
	first, err := c.write([]message{m})
	if err != nil {
		return nil, err
	}
	var interrupted error
	for {
		answers, err := c.read()
		if err != nil {
			return nil, err
		}
		for _, a := range answers {
			if a.Header.Seq != first {
				continue
			}
			if a.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
				interrupted = errInterrupted
			}
			switch a.Header.Type {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE:
				if e := errno(a); e != 0 {
					return nil, e
				}
				return bodies, interrupted
			default:
				bodies = append(bodies, a.Data)
			}
		}
	}
}

func (c *conn) read() ([]syscall.NetlinkMessage, error) {
	for {
		answers, _, err := c.socket.Receive()
		if !errors.Is(err, unix.EINTR) {
			return answers, err
		}
	}
}

// errno is what an answer says; the end of a list can carry one too.
func errno(a syscall.NetlinkMessage) syscall.Errno {
	if len(a.Data) < 4 {
		return 0
	}
	return syscall.Errno(-int32(binary.NativeEndian.Uint32(a.Data)))
}
