package network

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// These files are read through the thread's own namespace.
const procNet = "/proc/thread-self/net/"

// legacyTables reports whether the namespace has tables of iptables-legacy;
// asking iptables-legacy itself would make them.
func legacyTables() (bool, error) {
	b, err := os.ReadFile(procNet + "ip_tables_names")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return len(b) > 0, err
}

// A socket is one that waits for others: TCP in LISTEN, UDP with no peer.
type socket struct {
	proto Proto
	addr  netip.Addr // unspecified: every address
	port  uint16
}

// takesFrom reports whether the forward would take what s waits for. A socket
// of every IPv6 address takes IPv4 too.
func (f Forward) takesFrom(s socket) bool {
	if s.proto != f.Proto || s.port < f.Port || s.port > f.last() || s.addr.IsLoopback() {
		return false
	}
	if s.addr.IsUnspecified() {
		return s.addr.Is6() || f.family() == v4
	}
	return familyOf(s.addr) == f.family() && (!f.Listen.IsValid() || f.Listen == s.addr)
}

// sockets reads one of these files; lines that it can not read are passed over.
func sockets(file, text string) []socket {
	var out []socket
	proto, state := Proto(file[:3]), "0A"
	if proto == UDP {
		state = "07"
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != state {
			continue
		}
		addr, port, ok := strings.Cut(f[1], ":")
		n, err := strconv.ParseUint(port, 16, 16)
		if a, valid := hexAddr(addr); ok && valid && err == nil {
			out = append(out, socket{proto, a, uint16(n)})
		}
	}
	return out
}

// hexAddr reads an address as the kernel prints it: 32-bit words in the byte
// order of the machine, which is little-endian wherever Xen runs.
func hexAddr(s string) (netip.Addr, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b)%4 != 0 {
		return netip.Addr{}, false
	}
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	a, ok := netip.AddrFromSlice(b)
	return a.Unmap(), ok
}
