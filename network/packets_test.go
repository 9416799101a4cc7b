package network_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/ether"
	"github.com/xenhost/xenhost/network"
)

// street is two hosts on one Internet, with a crossover cable between their
// private bridges, as two rented machines have it. The guests live on the
// first; their vifs are made by boot.
type street struct {
	internet, curacao, islay space
	web1, web2               space // guests
	bridgeNF                 bool
}

// The hosts either drop what they are not told to forward, or show bridged
// frames to iptables; both at once would stop frames inside of a bridge, with
// or without us.
//
// With nft nobody uses iptables, so nothing drops.
func newStreet(t *testing.T, firewall string, bridgeNF bool) street {
	s := street{newSpace(t), newSpace(t), newSpace(t), newSpace(t), newSpace(t), bridgeNF}
	s.internet.IP(t, "link add isp type bridge", "address add 203.0.113.254/24 dev isp",
		"address add 2001:db8::fe/64 dev isp nodad", "link set isp up")
	for n, host := range []space{s.curacao, s.islay} {
		host.IP(t,
			"link add xenext type bridge", "link add xenint type bridge",
			fmt.Sprintf("link add eth0 type veth peer name port%d netns %s", n, s.internet.Name),
			"link set eth0 master xenext up",
			fmt.Sprintf("address add 203.0.113.%d/24 dev xenext", n+1),
			fmt.Sprintf("address add 192.168.0.%d/16 dev xenint", n+1),
			fmt.Sprintf("address add 2001:db8::%d/64 dev xenext nodad", n+1),
			fmt.Sprintf("address add fd00::%d/64 dev xenint nodad", n+1),
			"link set xenext up", "link set xenint up",
			"route add default via 203.0.113.254", "route add default via 2001:db8::fe",
		)
		s.internet.IP(t, fmt.Sprintf("link set port%d master isp up", n))
		if bridgeNF {
			host.Run(t, "", "sysctl", "-w", "net.bridge.bridge-nf-call-iptables=1", "net.bridge.bridge-nf-call-ip6tables=1")
		} else {
			host.Run(t, "", "sysctl", "-w", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0")
		}
		if !bridgeNF && firewall != network.NFT {
			host.Run(t, "", firewall, "-P", "FORWARD", "DROP")
			host.Run(t, "", strings.Replace(firewall, "iptables", "ip6tables", 1), "-P", "FORWARD", "DROP")
		}
	}
	s.curacao.IP(t,
		"link add eth1 type veth peer name eth1 netns "+s.islay.Name, "link set eth1 master xenint up")
	s.islay.IP(t, "link set eth1 master xenint up")
	return s
}

// guest n has the address 192.168.0.10+n.
func guest(n byte, forwards ...network.Forward) network.Guest {
	id := uuid.UUID{0xb0, 0, 0, n, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, n}
	g := network.Guest{UUID: id, Forwards: forwards, Ports: []network.Port{{
		Vif: network.VifName(id, 0), Bridge: "xenint", MAC: ether.Addr{0, 0x16, 0x3e, 0, 0, n},
		Addresses: []netip.Addr{address(n)},
	}}}
	return g
}

func address(n byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 0, 10 + n}) }

func forward(proto network.Proto, port uint16, n byte, to uint16) network.Forward {
	return network.Forward{Proto: proto, Port: port, To: netip.AddrPortFrom(address(n), to)}
}

// boot makes a guest's vif, as Xen does, without plugging it, and lets the
// guest serve its name and the address that it sees, on TCP 80 and UDP 53.
func (s street) boot(t *testing.T, machine space, g network.Guest, name string) {
	t.Helper()
	s.curacao.IP(t, fmt.Sprintf("link add %s type veth peer name eth0 netns %s", g.Ports[0].Vif, machine.Name))
	machine.IP(t,
		fmt.Sprintf("link set eth0 address %v up", g.Ports[0].MAC),
		fmt.Sprintf("address add %v/16 dev eth0", g.Ports[0].Addresses[0]),
		"route add default via 192.168.0.1")
	for _, a := range g.Ports[0].Addresses[1:] {
		machine.IP(t, fmt.Sprintf("address add %v/64 dev eth0 nodad", a), "route add default via fd00::1")
	}
	machine.serve(t, name, 80, 53)
}

// serve answers on a TCP and a UDP port with the name and the client's address.
func (s space) serve(t *testing.T, name string, tcp, udp int) {
	t.Helper()
	s.Inside(t, func() error {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{Port: tcp})
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = fmt.Fprintf(c, "%s saw %s", name, c.RemoteAddr().(*net.TCPAddr).IP)
				_ = c.Close()
			}
		}()
		u, err := net.ListenUDP("udp", &net.UDPAddr{Port: udp})
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = u.Close() })
		go func() {
			buf := make([]byte, 64)
			for {
				_, from, err := u.ReadFromUDP(buf)
				if err != nil {
					return
				}
				_, _ = u.WriteToUDP(fmt.Appendf(nil, "%s saw %s", name, from.IP), from)
			}
		}()
		return nil
	})
}

// dial connects from the namespace.
func (s space) dial(t *testing.T, proto, to string) (c net.Conn, err error) {
	t.Helper()
	s.Inside(t, func() error {
		c, err = (&net.Dialer{Timeout: 5 * time.Second}).Dial(proto, to)
		return nil
	})
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// ask returns what is answered to one question.
func (s space) ask(t *testing.T, proto, to string) (string, error) {
	t.Helper()
	c, err := s.dial(t, proto, to)
	if err != nil {
		return "", err
	}
	return askAgain(c)
}

// askAgain asks over a connection that is open.
func askAgain(c net.Conn) (string, error) {
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if c.RemoteAddr().Network() == "udp" {
		if _, err := c.Write([]byte("who?")); err != nil {
			return "", err
		}
	}
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

func (s space) answers(t *testing.T, proto, to, want string) {
	t.Helper()
	got, err := s.ask(t, proto, to)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func TestPackets(t *testing.T) {
	needNamespaces(t)
	for _, variant := range firewalls() {
		t.Run(variant, func(t *testing.T) { testPackets(t, variant, newStreet(t, variant, false)) })
		t.Run(variant+" sees bridged frames", func(t *testing.T) { testPackets(t, variant, newStreet(t, variant, true)) })
	}
}

func testPackets(t *testing.T, variant string, s street) {
	curacao, islay := s.curacao.manager(t, variant), s.islay.manager(t, variant)
	private := network.State{Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/16"), Out: "xenext"}}}
	_, err := curacao.Apply(t.Context(), private)
	require.NoError(t, err)

	g := guest(1, forward(network.TCP, 8080, 1, 80), forward(network.UDP, 5353, 1, 53))
	require.NoError(t, curacao.Set(t.Context(), g), "before the vif is there")
	s.boot(t, s.web1, g, "web1")
	have, err := curacao.Read(t.Context())
	require.NoError(t, err)
	require.Len(t, have.Guests, 1)
	assert.Empty(t, have.Guests[0].Ports, "a vif outside of its bridge is not a port")
	require.NoError(t, curacao.Set(t.Context(), g))
	assert.Contains(t, s.curacao.Run(t, "", "ip", "link", "show", g.Ports[0].Vif), "alias xenhost:"+g.UUID.String()+":0")

	other := guest(2)
	s.boot(t, s.web2, other, "web2")
	require.NoError(t, curacao.Set(t.Context(), other))

	t.Run("a forward from the Internet", func(t *testing.T) {
		s.internet.answers(t, "tcp", "203.0.113.1:8080", "web1 saw 203.0.113.254")
		s.internet.answers(t, "udp", "203.0.113.1:5353", "web1 saw 203.0.113.254")
	})
	t.Run("dom0 itself uses the forward, but not by its loopback", func(t *testing.T) {
		s.curacao.answers(t, "tcp", "203.0.113.1:8080", "web1 saw 203.0.113.1")
		_, err := s.curacao.ask(t, "tcp", "127.0.0.1:8080")
		require.ErrorContains(t, err, "refused")
	})
	t.Run("guests reach the Internet as their host", func(t *testing.T) {
		s.internet.serve(t, "internet", 8080, 7)
		s.web1.answers(t, "tcp", "203.0.113.254:8080", "internet saw 203.0.113.1")
		s.web2.answers(t, "udp", "203.0.113.254:7", "internet saw 203.0.113.1")
	})
	t.Run("guests reach a forward by the public address", func(t *testing.T) {
		s.web2.answers(t, "tcp", "203.0.113.1:8080", "web1 saw 192.168.0.1")
		if !s.bridgeNF { // else the frame would have to leave by the port that it came in by
			s.web1.answers(t, "tcp", "203.0.113.1:8080", "web1 saw 192.168.0.1")
		}
	})
	t.Run("what stays in the bridge stays as it is", func(t *testing.T) {
		s.web2.answers(t, "tcp", "192.168.0.11:80", "web1 saw 192.168.0.12")
	})
	t.Run("in by the other host", func(t *testing.T) {
		f := forward(network.TCP, 8080, 1, 80)
		f.Return = network.ReturnIngress
		require.NoError(t, islay.Set(t.Context(), guest(1, f)))
		s.internet.answers(t, "tcp", "203.0.113.2:8080", "web1 saw 192.168.0.2")
		require.NoError(t, islay.Remove(t.Context(), g.UUID))
		_, err := s.internet.ask(t, "tcp", "203.0.113.2:8080")
		require.ErrorContains(t, err, "refused")
	})
	t.Run("an open stream of UDP follows the forward", func(t *testing.T) {
		c, err := s.internet.dial(t, "udp", "203.0.113.1:5353")
		require.NoError(t, err)
		got, err := askAgain(c)
		require.NoError(t, err)
		assert.Equal(t, "web1 saw 203.0.113.254", got)
		require.NoError(t, curacao.Set(t.Context(), guest(1, forward(network.TCP, 8080, 1, 80))))
		require.NoError(t, curacao.Set(t.Context(), guest(2, forward(network.UDP, 5353, 2, 53))))
		got, err = askAgain(c)
		require.NoError(t, err)
		assert.Equal(t, "web2 saw 203.0.113.254", got)
	})
	t.Run("removal ends it", func(t *testing.T) {
		require.NoError(t, curacao.Remove(t.Context(), g.UUID))
		_, err := s.internet.ask(t, "tcp", "203.0.113.1:8080")
		require.ErrorContains(t, err, "refused")
		s.internet.answers(t, "udp", "203.0.113.1:5353", "web2 saw 203.0.113.254")
		out := s.curacao.Run(t, "", "ip", "link", "show", g.Ports[0].Vif)
		assert.NotContains(t, out, "master")
		assert.NotContains(t, out, "alias")
	})
}
