package network

import (
	"fmt"
	"net/netip"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// states draws valid states of few names, so that they overlap.
func states() *rapid.Generator[State] {
	return rapid.Custom(func(t *rapid.T) State {
		var s State
		for _, n := range rapid.SliceOfDistinct(rapid.IntRange(0, 3), rapid.ID).Draw(t, "bridges") {
			b := Bridge{Name: fmt.Sprintf("br%d", n)}
			for _, p := range rapid.SliceOfDistinct(rapid.IntRange(0, 2), rapid.ID).Draw(t, "ports") {
				b.Ports = append(b.Ports, fmt.Sprintf("eth%d.%d", n, p))
			}
			for _, a := range rapid.SliceOfDistinct(rapid.ByteRange(1, 3), rapid.ID).Draw(t, "addresses") {
				b.Addresses = append(b.Addresses, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n), 0, a}), 24),
					netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 1, 14: byte(n), 15: a}), 120))
			}
			s.Bridges = append(s.Bridges, b)
		}
		for _, n := range rapid.SliceOfNDistinct(rapid.ByteRange(0, 5), 0, 3, rapid.ID).Draw(t, "masquerades") {
			m := Masquerade{Source: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, n, n}), 16+int(n)), Out: fmt.Sprintf("up%d", n%2)}
			if n > 3 {
				m.Source = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 2, 15: n}), 64)
			}
			if rapid.Bool().Draw(t, "as") {
				m.As = netip.AddrFrom4([4]byte{203, 0, 113, 100 + n})
				if n > 3 {
					m.As = netip.AddrFrom16([16]byte{0x20, 1, 15: n})
				}
			}
			s.Masquerades = append(s.Masquerades, m)
		}
		if len(s.Masquerades) > 0 { // two that differ by more than the address
			seen := map[string]bool{}
			var kept []Masquerade
			for _, m := range s.Normalize().Masquerades {
				if !seen[m.key()] {
					kept = append(kept, m)
				}
				seen[m.key()] = true
			}
			s.Masquerades = kept
		}
		for _, n := range rapid.SliceOfNDistinct(rapid.ByteRange(1, 5), 0, 4, rapid.ID).Draw(t, "guests") {
			s.Guests = append(s.Guests, drawGuest(t, n))
		}
		return s
	})
}

func drawGuest(t *rapid.T, n byte) Guest {
	g := Guest{UUID: uuid.UUID{n, n, n, n, 0, 0, 0x40, 0, 0x80}}
	var at []netip.Addr
	for i := range rapid.IntRange(0, 3).Draw(t, "vifs") {
		p := Port{Vif: VifName(g.UUID, i), Bridge: "xenint", MAC: MAC{0, 0x16, 0x3e, rapid.ByteRange(0, 2).Draw(t, "mac"), byte(i), n}}
		for j := range rapid.IntRange(0, 2).Draw(t, "addresses") {
			p.Addresses = append(p.Addresses, netip.AddrFrom4([4]byte{192, 168, n, byte(8*i + j)}))
		}
		p.Addresses = append(p.Addresses, netip.AddrFrom16([16]byte{0x20, 1, 14: n, 15: byte(i)}))
		if p.Routed = rapid.Bool().Draw(t, "routed"); p.Routed {
			p.Bridge, p.Uplink = "", rapid.SampledFrom([]string{"", "xenext"}).Draw(t, "uplink")
			for j := range rapid.ByteRange(0, 2).Draw(t, "networks") {
				p.Networks = append(p.Networks, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 3, n, byte(i), j}), 64))
			}
		}
		at = append(at, p.Addresses...)
		g.Ports = append(g.Ports, p)
	}
	if len(at) == 0 {
		return g
	}
	whole := rapid.SampledFrom([]Forward{{}, {}, {
		Proto: All, Listen: netip.AddrFrom4([4]byte{198, 51, 100, n}), To: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, n, 0}), 0)},
	}).Draw(t, "whole")
	if whole.Proto == All && len(at) > 1 && at[0] == whole.To.Addr() {
		g.Forwards = append(g.Forwards, whole)
	}
	to := rapid.SampledFrom(at).Draw(t, "shared by")
	shared := Forward{Proto: UDP, Port: 65500 + uint16(n%2), To: netip.AddrPortFrom(to, 53), Spread: true}
	if rapid.Bool().Draw(t, "share") {
		g.Forwards = append(g.Forwards, shared)
	}
	for _, port := range rapid.SliceOfNDistinct(rapid.Uint16Range(1, 1200), 0, 6, rapid.ID).Draw(t, "forwards") {
		g.Forwards = append(g.Forwards, drawForward(t, n, port*50+10*uint16(n)-10, at)) // no two guests share a port
	}
	return g
}

// drawForward draws one whose ports are between port and port+9.
func drawForward(t *rapid.T, n byte, port uint16, at []netip.Addr) Forward {
	to := rapid.SampledFrom(at).Draw(t, "to")
	f := Forward{Proto: TCP, Port: port, To: netip.AddrPortFrom(to, port)}
	if rapid.Bool().Draw(t, "udp") {
		f.Proto = UDP
	}
	if rapid.Bool().Draw(t, "listen") {
		f.Listen = netip.AddrFrom4([4]byte{203, 0, 113, n})
		if to.Is6() {
			f.Listen = netip.AddrFrom16([16]byte{0x20, 2, 15: n})
		}
	}
	f.Return = rapid.SampledFrom([]Return{ReturnGateway, ReturnIngress}).Draw(t, "return")
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		f.Last = port + rapid.Uint16Range(1, 9).Draw(t, "last")
	case 1:
		f.Spread = true
	}
	return f
}
