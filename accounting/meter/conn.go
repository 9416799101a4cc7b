package meter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/nlattr"
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
		for _, e := range nlattr.All(nlattr.Find(body, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			f(e)
		}
	}
	return nil
}

// dump asks for all elements of a set.
func (c *conn) dump(family byte, set string, f func(body []byte)) error {
	c.seq++
	body := []byte{family, 0, 0, 0} // nfgenmsg
	body = append(body, nlattr.New(unix.NFTA_SET_ELEM_LIST_TABLE, nlattr.Text(table))...)
	body = append(body, nlattr.New(unix.NFTA_SET_ELEM_LIST_SET, nlattr.Text(set))...)
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
