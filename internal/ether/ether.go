// Package ether holds the Ethernet address type that xen and network share,
// so that a guest's MAC is one comparable, validated value in both.
package ether

import (
	"fmt"
	"net"
)

// Addr is a 48-bit MAC address. The zero Addr means "none".
type Addr [6]byte

// Parse reads the colon form, as 00:16:3e:01:02:03. It refuses anything that
// xl would silently repair (half an address becomes zeros there) and every
// multicast address, which no interface may carry.
func Parse(s string) (Addr, error) {
	var a Addr
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != len(a) || len(s) != 17 {
		return Addr{}, fmt.Errorf("invalid MAC address %q", s)
	}
	copy(a[:], hw)
	if a[0]&1 != 0 {
		return Addr{}, fmt.Errorf("invalid MAC address %q: multicast bit is set", s)
	}
	return a, nil
}

// IsZero reports whether a is unset.
func (a Addr) IsZero() bool { return a == Addr{} }

// String returns the colon form in lower case.
func (a Addr) String() string { return net.HardwareAddr(a[:]).String() }

// MarshalText implements encoding.TextMarshaler; the zero Addr is empty.
func (a Addr) MarshalText() ([]byte, error) {
	if a.IsZero() {
		return nil, nil
	}
	return []byte(a.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler with the checks of Parse.
func (a *Addr) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Addr{}
		return nil
	}
	v, err := Parse(string(text))
	if err != nil {
		return err
	}
	*a = v
	return nil
}
