package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// listening lists the sockets of dom0 that wait for others:
//
//	ss -Hln
//
// The kernel is asked for these alone. The files of /proc/net, which are read
// where it can not be asked, take a walk through all of the host's connections.
func listening() ([]socket, error) {
	var out []socket
	for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} {
		list, err := diagnosed(file)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
			list, err = printed(file)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// printed reads one of the files.
func printed(file string) ([]socket, error) {
	b, err := os.ReadFile(procNet + file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no IPv6
	}
	return sockets(file, string(b)), err
}

// The parts of struct inet_diag_req_v2 and struct inet_diag_msg that are
// looked at.
const (
	diagRequest  = 56
	diagAnswer   = 72
	diagPort     = 4
	diagAddress  = 8
	stateListen  = 10
	stateNoPeer  = 7 // of UDP
	diagByFamily = 20
)

// diagnosed asks the kernel's sock_diag what is in one of the files.
func diagnosed(file string) ([]socket, error) {
	proto, state, number := TCP, stateListen, byte(unix.IPPROTO_TCP)
	if Proto(file[:3]) == UDP {
		proto, state, number = UDP, stateNoPeer, unix.IPPROTO_UDP
	}
	family, size := byte(unix.AF_INET), 4
	if len(file) > 3 {
		family, size = unix.AF_INET6, 16
	}
	body := make([]byte, diagRequest)
	body[0], body[1] = family, number
	binary.NativeEndian.PutUint32(body[4:], 1<<state)
	answers, err := dump(func() ([][]byte, error) {
		req := nl.NewNetlinkRequest(diagByFamily, unix.NLM_F_DUMP)
		req.AddRawData(body)
		return req.Execute(unix.NETLINK_INET_DIAG, 0)
	})
	if err != nil {
		return nil, fmt.Errorf("sockets of %s: %w", file, err)
	}
	var out []socket
	for _, a := range answers {
		if len(a) >= diagAnswer && a[0] == family && a[1] == byte(state) {
			out = append(out, socket{proto, addrOf(a[diagAddress : diagAddress+size]), binary.BigEndian.Uint16(a[diagPort:])})
		}
	}
	return out, nil
}
