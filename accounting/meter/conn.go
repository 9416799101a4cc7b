package meter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A conn is a socket to nftables in a network namespace.
type conn struct {
	socket *nl.NetlinkSocket
	seq    uint32
}

func dial(path string) (*conn, error) {
	space := netns.None()
	if path != "" {
		var err error
		if space, err = netns.GetFromPath(path); err != nil {
			return nil, fmt.Errorf("network namespace %s: %w", path, err)
		}
		defer space.Close()
	}
	s, err := nl.GetNetlinkSocketAt(space, netns.None(), unix.NETLINK_NETFILTER)
	if err != nil {
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			err = fmt.Errorf("this kernel has no nftables: %w", errors.ErrUnsupported)
		}
		return nil, fmt.Errorf("netlink: %w", err)
	}
	if err := errors.Join(s.SetReceiveBufferSize(4<<20, true), s.SetReceiveTimeout(&unix.Timeval{Sec: 20})); err != nil {
		s.Close()
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &conn{socket: s}, nil
}

func (c *conn) close() { c.socket.Close() }

var errInterrupted = errors.New("the set changed while it was read")

// elements reads a set or map: each calls f with an element's attributes. The
// error is ENOENT if there is no such set.
func (c *conn) elements(family byte, set string, f func(element []byte)) error {
	var found [][]byte
	var err error
	for range 20 { // a list that changed while it was read is read again
		found = found[:0]
		err = c.dump(family, set, func(body []byte) { found = append(found, body) })
		if !errors.Is(err, errInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("read set %s: %w", set, err)
	}
	for _, body := range found {
		for _, e := range attrs(find(body, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			f(e)
		}
	}
	return nil
}

// dump asks for all elements of a set.
func (c *conn) dump(family byte, set string, f func(body []byte)) error {
	c.seq++
	body := []byte{family, 0, 0, 0} // nfgenmsg
	body = append(body, attr(unix.NFTA_SET_ELEM_LIST_TABLE, table)...)
	body = append(body, attr(unix.NFTA_SET_ELEM_LIST_SET, set)...)
	out := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	out = binary.NativeEndian.AppendUint16(out, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETSETELEM)
	out = binary.NativeEndian.AppendUint16(out, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	out = binary.NativeEndian.AppendUint32(out, c.seq)
	out = append(binary.NativeEndian.AppendUint32(out, 0), body...)
	if err := unix.Sendto(c.socket.GetFd(), out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var interrupted error
	for {
		answers, _, err := c.socket.Receive()
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		for _, a := range answers {
			if a.Header.Seq != c.seq {
				continue
			}
			if a.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
				interrupted = errInterrupted
			}
			switch a.Header.Type {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE:
				if len(a.Data) >= 4 {
					if e := syscall.Errno(-int32(binary.NativeEndian.Uint32(a.Data))); e != 0 {
						return e
					}
				}
				return interrupted
			default:
				f(a.Data[min(4, len(a.Data)):])
			}
		}
	}
}

// attr is an attribute that holds a text.
func attr(kind uint16, value string) []byte {
	size := 4 + len(value) + 1
	out := binary.NativeEndian.AppendUint16(nil, uint16(size))
	out = binary.NativeEndian.AppendUint16(out, kind)
	out = append(append(out, value...), 0)
	return append(out, make([]byte, -size&3)...)
}

// attrs goes over the attributes in b; what is cut short ends it.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			size := int(binary.NativeEndian.Uint16(b))
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if size < 4 || size > len(b) {
				return
			}
			if !yield(kind, b[4:size]) {
				return
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// find returns the value at the end of a path of kinds; nil if it is not there.
func find(b []byte, path ...uint16) []byte {
	for _, want := range path {
		var value []byte
		for kind, v := range attrs(b) {
			if kind == want {
				value = v
				break
			}
		}
		if value == nil {
			return nil
		}
		b = value
	}
	return b
}
