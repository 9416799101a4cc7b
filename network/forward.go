package network

import (
	"net/netip"
	"strconv"
)

// Proto is a transport protocol.
type Proto string

// The protocols that have ports; and All, which is a whole address.
const (
	TCP Proto = "tcp"
	UDP Proto = "udp"
	All Proto = "all"
)

// Forward sends what arrives at a port of the host to a guest (DNAT). Both
// sides are IPv4 or both are IPv6; To says which.
//
// With Proto All it is 1:1: everything that arrives at Listen goes to the
// guest, ports that are forwarded everywhere included, and what the guest sends
// beyond its bridge comes from Listen. Port and To's port are 0 then, and Listen is
// an extra address of the host, which is its own prefix (/32, /128): one with a
// shorter prefix is dom0's own place on a network, and ErrReserved.
type Forward struct {
	Proto Proto `json:"proto"`
	// Listen is an address of the host; the zero Addr means every address that
	// the host itself has, so that the same forward works on whichever host the
	// guest lives.
	Listen netip.Addr `json:"listen,omitzero"`
	Port   uint16     `json:"port,omitzero"`
	// Last makes it a range of ports, Port to Last, which keep their numbers:
	// To's port is Port. 0 is one port.
	Last uint16         `json:"last,omitzero"`
	To   netip.AddrPort `json:"to"` // the guest's address and port
	// Return says which way the answers take. It is the same for all forwards
	// to one address and port of a guest.
	Return Return `json:"return,omitempty"`
	// Spread shares the port with the other guests that forward it with Spread
	// too: each new connection goes to one of them at random. At most 60 share
	// a port.
	Spread bool `json:"spread,omitempty"`
}

// Return is the way of a forwarded connection's answers.
type Return string

// ReturnGateway needs the guest's default route to lead through this host; the
// guest sees the client's address. ReturnIngress makes the connection come
// from this host's own address on the guest's bridge, so that answers return
// to the host they came in by; the guest does not see the client's address.
const (
	ReturnGateway Return = ""
	ReturnIngress Return = "ingress"
)

// String reads as "tcp *:8080 -> 192.168.0.10:80", "udp 203.0.113.5:10000-10099
// -> 192.168.0.10:10000" or "all 203.0.113.5 -> 192.168.0.10".
func (f Forward) String() string {
	s := f.key() + " -> "
	if f.Proto == All {
		s += f.To.Addr().String()
	} else {
		s += f.To.String()
	}
	if f.Return != ReturnGateway {
		s += " return " + string(f.Return)
	}
	if f.Spread {
		s += " spread"
	}
	return s
}

// key is what of it no two forwards have, unless they are spread.
func (f Forward) key() string {
	if f.Proto == All {
		return string(f.Proto) + " " + f.Listen.String()
	}
	port := strconv.Itoa(int(f.Port))
	if f.Last != 0 {
		port += "-" + strconv.Itoa(int(f.Last))
	}
	switch {
	case !f.Listen.IsValid():
		return string(f.Proto) + " *:" + port
	case f.Listen.Is6():
		return string(f.Proto) + " [" + f.Listen.String() + "]:" + port
	}
	return string(f.Proto) + " " + f.Listen.String() + ":" + port
}

// last is the last port: Last, or Port if it is one port.
func (f Forward) last() uint16 { return max(f.Port, f.Last) }

// family is that of both sides.
func (f Forward) family() family { return familyOf(f.To.Addr()) }

// A family is an address family, in nft's words.
type family string

const (
	v4 family = "ip"
	v6 family = "ip6"
)

func families() []family { return []family{v4, v6} }

func familyOf(a netip.Addr) family {
	if a.Is6() {
		return v6
	}
	return v4
}
