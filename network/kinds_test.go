package network_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
)

// dual is guest n with an IPv6 address too, and forwards as ParseForward reads
// them.
func dual(n byte, forwards ...string) network.Guest {
	g := guest(n)
	g.Ports[0].Addresses = append(g.Ports[0].Addresses, address6(n))
	for _, text := range forwards {
		f, err := network.ParseForward(text)
		if err != nil {
			panic(err)
		}
		g.Forwards = append(g.Forwards, f)
	}
	return g
}

// address6 of guest 1 is fd00::11.
func address6(n byte) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfd, 15: 0x10 + n})
}

// TestKinds sends packets through every kind of forward, by IPv4 and IPv6.
func TestKinds(t *testing.T) {
	needNamespaces(t)
	for _, firewall := range firewalls() {
		t.Run(firewall, func(t *testing.T) { testKinds(t, firewall) })
	}
}

func testKinds(t *testing.T, firewall string) {
	s := newStreet(t, firewall, false)
	curacao, islay := s.curacao.manager(t, firewall), s.islay.manager(t, firewall)
	s.curacao.IP(t, "address add 203.0.113.10/32 dev xenext", "address add 203.0.113.11/32 dev xenext",
		"address add 2001:db8::10/128 dev xenext nodad preferred_lft 0", "address add 2001:db8::11/128 dev xenext nodad preferred_lft 0")
	private := func(as ...string) network.State {
		st := network.State{Masquerades: []network.Masquerade{
			{Source: netip.MustParsePrefix("192.168.0.0/16"), Out: "xenext"}, {Source: netip.MustParsePrefix("fd00::/64"), Out: "xenext"}}}
		for i, a := range as {
			st.Masquerades[i].As = netip.MustParseAddr(a)
		}
		return st
	}
	_, err := curacao.Apply(t.Context(), private())
	require.NoError(t, err)
	s.boot(t, s.web1, dual(1), "web1")
	s.boot(t, s.web2, dual(2), "web2")
	s.web1.serve(t, "web1", 20000, 20063)
	s.web1.serve(t, "web1", 30000, 20100)
	s.internet.serve(t, "internet", 8080, 7)
	set := func(t *testing.T, guests ...network.Guest) {
		t.Helper()
		for _, g := range append([]network.Guest{dual(1), dual(2)}, guests...) {
			require.NoError(t, curacao.Set(t.Context(), g))
		}
	}
	const internet4, internet6 = "203.0.113.254", "2001:db8::fe"

	t.Run("IPv6", func(t *testing.T) {
		set(t, dual(1, "tcp *:8080 -> [fd00::11]:80", "udp [2001:db8::11]:53 -> [fd00::11]:53"))
		s.internet.answers(t, "tcp", "[2001:db8::1]:8080", "web1 saw "+internet6)
		s.internet.answers(t, "tcp", "[2001:db8::10]:8080", "web1 saw "+internet6)
		s.internet.answers(t, "udp", "[2001:db8::11]:53", "web1 saw "+internet6)
		s.web2.answers(t, "tcp", "[2001:db8::fe]:8080", "internet saw 2001:db8::1")
		s.curacao.answers(t, "tcp", "[2001:db8::1]:8080", "web1 saw 2001:db8::1")
	})
	t.Run("hairpin of IPv6", func(t *testing.T) {
		_, err := curacao.Apply(t.Context(), network.State{Masquerades: private().Masquerades, Guests: []network.Guest{
			dual(1, "tcp *:8080 -> [fd00::11]:80"), dual(2)}})
		require.NoError(t, err)
		s.web2.answers(t, "tcp", "[2001:db8::1]:8080", "web1 saw fd00::1")
	})
	t.Run("ranges", func(t *testing.T) {
		set(t, dual(1, "tcp *:20000-20010 -> 192.168.0.11:20000", "udp *:20060-20199 -> 192.168.0.11:20060",
			"tcp 203.0.113.10:21000-65535 -> 192.168.0.11:21000", "tcp *:1024-40000 -> [fd00::11]:1024"))
		s.internet.answers(t, "tcp", "203.0.113.1:20000", "web1 saw "+internet4)
		s.internet.answers(t, "udp", "203.0.113.1:20063", "web1 saw "+internet4)
		s.internet.answers(t, "udp", "203.0.113.11:20100", "web1 saw "+internet4)
		s.internet.answers(t, "tcp", "203.0.113.10:30000", "web1 saw "+internet4)
		s.internet.answers(t, "tcp", "[2001:db8::1]:30000", "web1 saw "+internet6)
		for _, closed := range []string{"203.0.113.1:30000", "203.0.113.11:30000", "203.0.113.1:20011"} {
			_, err := s.internet.ask(t, "tcp", closed)
			require.ErrorContains(t, err, "refused", closed)
		}
	})
	t.Run("a whole address, there and back", func(t *testing.T) {
		set(t, dual(1, "all 203.0.113.10 -> 192.168.0.11", "all 2001:db8::10 -> fd00::11"),
			dual(2, "tcp *:80 -> 192.168.0.12:80", "tcp *:80 -> [fd00::12]:80"))
		for _, c := range [][3]string{
			{"tcp", "203.0.113.10:80", "web1 saw " + internet4}, {"udp", "203.0.113.10:53", "web1 saw " + internet4},
			{"tcp", "[2001:db8::10]:80", "web1 saw " + internet6}, {"udp", "[2001:db8::10]:53", "web1 saw " + internet6},
			{"tcp", "203.0.113.11:80", "web2 saw " + internet4}, {"tcp", "[2001:db8::11]:80", "web2 saw " + internet6},
		} {
			s.internet.answers(t, c[0], c[1], c[2])
		}
		s.web1.answers(t, "tcp", internet4+":8080", "internet saw 203.0.113.10")
		s.web1.answers(t, "tcp", "["+internet6+"]:8080", "internet saw 2001:db8::10")
		s.web2.answers(t, "tcp", internet4+":8080", "internet saw 203.0.113.1")
		s.web2.answers(t, "tcp", "203.0.113.10:80", "web1 saw 192.168.0.1")
		s.web1.answers(t, "tcp", "192.168.0.12:80", "web2 saw 192.168.0.11")
	})
	t.Run("several addresses, one port", func(t *testing.T) {
		set(t, dual(1, "tcp 203.0.113.10:80 -> 192.168.0.11:80", "tcp [2001:db8::10]:80 -> [fd00::11]:80"),
			dual(2, "tcp 203.0.113.11:80 -> 192.168.0.12:80", "tcp [2001:db8::11]:80 -> [fd00::12]:80"))
		s.internet.answers(t, "tcp", "203.0.113.10:80", "web1 saw "+internet4)
		s.internet.answers(t, "tcp", "203.0.113.11:80", "web2 saw "+internet4)
		s.internet.answers(t, "tcp", "[2001:db8::10]:80", "web1 saw "+internet6)
		s.internet.answers(t, "tcp", "[2001:db8::11]:80", "web2 saw "+internet6)
	})
	t.Run("one address for several guests", func(t *testing.T) {
		set(t, dual(1, "tcp *:80 -> 192.168.0.11:80 spread", "tcp [2001:db8::10]:80 -> [fd00::11]:80 spread"),
			dual(2, "tcp *:80 -> 192.168.0.12:80 spread", "tcp [2001:db8::10]:80 -> [fd00::12]:80 spread"))
		for _, to := range []string{"203.0.113.1:80", "[2001:db8::10]:80"} {
			seen := map[string]int{}
			for range 64 { // the chance that one is left out is 2^-63
				got, err := s.internet.ask(t, "tcp", to)
				require.NoError(t, err)
				name, _, _ := strings.Cut(got, " ")
				seen[name]++
			}
			assert.Len(t, seen, 2, fmt.Sprint(seen))
		}
		require.NoError(t, curacao.Remove(t.Context(), dual(1).UUID))
		for range 16 {
			s.internet.answers(t, "tcp", "203.0.113.1:80", "web2 saw "+internet4)
		}
	})
	t.Run("fixed sources", func(t *testing.T) {
		st := private("203.0.113.11", "2001:db8::11")
		st.Guests = []network.Guest{dual(1), dual(2)}
		_, err := curacao.Apply(t.Context(), st)
		require.NoError(t, err)
		s.web1.answers(t, "tcp", internet4+":8080", "internet saw 203.0.113.11")
		s.web1.answers(t, "tcp", "["+internet6+"]:8080", "internet saw 2001:db8::11")
	})
	t.Run("in by the other host", func(t *testing.T) {
		require.NoError(t, islay.Set(t.Context(), dual(1, "tcp *:8080 -> [fd00::11]:80 return ingress",
			"tcp *:20000-20063 -> 192.168.0.11:20000 return ingress")))
		s.internet.answers(t, "tcp", "[2001:db8::2]:8080", "web1 saw fd00::2")
		s.internet.answers(t, "tcp", "203.0.113.2:20000", "web1 saw 192.168.0.2")
		require.NoError(t, islay.Remove(t.Context(), dual(1).UUID))
	})
	t.Run("a stream to dom0 follows a new forward", func(t *testing.T) {
		c, err := s.internet.dial(t, "udp", "203.0.113.1:5353")
		require.NoError(t, err)
		_, err = askAgain(c) // nobody is there; the connection is tracked nevertheless
		require.Error(t, err)
		set(t, dual(1, "udp *:5353 -> 192.168.0.11:53"))
		got, err := askAgain(c)
		require.NoError(t, err)
		assert.Equal(t, "web1 saw "+internet4, got)
		set(t, dual(1, "udp *:5000-5999 -> 192.168.0.11:5000"))
		set(t, dual(2, "udp *:5353 -> 192.168.0.12:53"))
		got, err = askAgain(c)
		require.NoError(t, err)
		assert.Equal(t, "web2 saw "+internet4, got)
	})
}
