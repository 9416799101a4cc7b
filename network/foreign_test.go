package network_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/network"
)

// saved is all that iptables-save prints, without times and counters.
func (s space) saved(t *testing.T, variant string) string {
	t.Helper()
	if variant == network.NFT {
		return s.Run(t, "", "nft", "--stateless", "list", "ruleset")
	}
	text := s.Run(t, "", variant+"-save") + s.Run(t, "", strings.Replace(variant, "iptables", "ip6tables", 1)+"-save")
	text = regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(text, "")
	return regexp.MustCompile(`\[\d+:\d+\]`).ReplaceAllString(text, "")
}

// foreign is what of it is not ours.
func foreign(text string) string {
	var out strings.Builder
	ours := false // inside of our nft table
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "table ip xenhost ") || strings.HasPrefix(line, "table ip6 xenhost "):
			ours = true
		case ours:
			ours = line != "}\n"
		case !strings.Contains(line, "XH-"):
			out.WriteString(line)
		}
	}
	return out.String()
}

// randomRules is a restore script such as firewalls, Docker and operators leave.
func randomRules(r *rand.Rand, six bool) string {
	var b strings.Builder
	container, port := "172.17.0.2", "172.17.0.2:%d"
	if six {
		container, port = "fd17::2", "[fd17::2]:%d"
	}
	addr := func() string {
		if six {
			return fmt.Sprintf("2001:%x::/%d", 0x1000+r.IntN(0xefff), 32+r.IntN(16))
		}
		return fmt.Sprintf("%d.%d.%d.%d/%d", 1+r.IntN(200), r.IntN(256), r.IntN(256), r.IntN(256), 8+r.IntN(25))
	}
	match := func() string {
		choices := []string{
			"-s " + addr(), "! -d " + addr(), "-m conntrack --ctstate RELATED,ESTABLISHED",
			[]string{"-p tcp -m tcp --dport ", "-p udp -m udp --sport "}[r.IntN(2)] + fmt.Sprint(1+r.IntN(65535)),
			`-m comment --comment "the \"operator's\" own; xenhost: guest"`, "-m addrtype --dst-type LOCAL", "-m mark --mark 0x7/0xff",
		}
		r.Shuffle(len(choices), func(i, j int) { choices[i], choices[j] = choices[j], choices[i] })
		return strings.Join(choices[:r.IntN(2)+1], " ")
	}
	b.WriteString("*filter\n:DOCKER-USER - [0:0]\n:f2b-sshd - [0:0]\n")
	for range r.IntN(12) {
		chain := []string{"INPUT", "FORWARD", "OUTPUT", "DOCKER-USER", "f2b-sshd"}[r.IntN(5)]
		target := []string{"ACCEPT", "DROP", "RETURN", "REJECT"}[r.IntN(4)]
		fmt.Fprintf(&b, "-A %s %s -j %s\n", chain, match(), target)
	}
	b.WriteString("COMMIT\n*nat\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n")
	for range r.IntN(12) {
		fmt.Fprintf(&b, "-A DOCKER -p tcp -m tcp --dport %d -j DNAT --to-destination "+port+"\n", 1+r.IntN(65535), 1+r.IntN(65535))
	}
	fmt.Fprintf(&b, "-A POSTROUTING -s "+container+" -d "+container+" -j MASQUERADE\n-A POSTROUTING -s %s ! -o docker0 -j MASQUERADE\nCOMMIT\n*mangle\n-A PREROUTING -i eth0 -j MARK --set-xmark 0x%x/0xffffffff\nCOMMIT\n", addr(), r.IntN(1<<16))
	return b.String()
}

// randomTables is the same for nft, beside what the operator did by iptables.
func randomTables(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("flush ruleset\ntable inet operator {\n\tset banned { type ipv4_addr; flags interval; }\n")
	b.WriteString("\tchain input { type filter hook input priority filter; policy accept; }\n}\n")
	for range r.IntN(12) {
		fmt.Fprintf(&b, "add element inet operator banned { %d.%d.%d.0/24 }\n", 1+r.IntN(200), r.IntN(256), r.IntN(256))
		fmt.Fprintf(&b, "add rule inet operator input tcp dport %d counter packets %d bytes 1 %s\n", 1+r.IntN(65535), r.IntN(100), []string{"accept", "drop"}[r.IntN(2)])
	}
	if r.IntN(2) == 0 {
		fmt.Fprintf(&b, "table ip nat2 {\n\tchain pre { type nat hook prerouting priority -110; policy accept; tcp dport %d dnat to 172.17.0.2; }\n}\n", 1+r.IntN(65535))
	}
	return b.String()
}

// TestForeignRules: whatever else is in the tables, it is the same byte by
// byte while we work, and all is as before when nothing of ours is wanted. The
// whole of the thousand is in the full lab's tier.
func TestForeignRules(t *testing.T) {
	needNamespaces(t)
	rounds := 5
	if tier.Demanded(tier.LabFull) {
		rounds = 334
	}
	for _, firewall := range firewalls() {
		t.Run(firewall, func(t *testing.T) {
			s := newSpace(t)
			s.IP(t, "link add xenint type bridge")
			m := s.manager(t, firewall)
			for seed := range uint64(rounds) {
				r := rand.New(rand.NewPCG(seed, 1))
				by := firewall
				if firewall == network.NFT {
					s.Run(t, randomTables(r), "nft", "-f", "-")
					by = network.IPTablesNFT
				}
				s.Run(t, randomRules(r, false), by+"-restore")
				s.Run(t, randomRules(r, true), strings.Replace(by, "iptables", "ip6tables", 1)+"-restore")
				before := s.saved(t, firewall)
				_, err := m.Apply(t.Context(), network.State{
					Bridges: []network.Bridge{{Name: "xhbr0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")}}},
					Masquerades: []network.Masquerade{
						{Source: netip.MustParsePrefix("192.168.0.0/16"), Out: "eth0"}, {Source: netip.MustParsePrefix("fd00::/64"), Out: "eth0"}},
					Guests: []network.Guest{dual(1, "tcp *:8080 -> 192.168.0.11:80", "tcp *:8080-8090 -> [fd00::11]:8080", "all 203.0.113.9 -> 192.168.0.11")},
				})
				require.NoError(t, err, "seed %d", seed)
				require.NoError(t, m.Set(t.Context(), dual(2, "udp *:53 -> 192.168.0.12:53 return ingress", "tcp *:80 -> 192.168.0.12:80 spread")))
				require.NoError(t, m.Remove(t.Context(), guest(1).UUID))
				assert.Equal(t, before, foreign(s.saved(t, firewall)), "seed %d", seed)
				_, err = m.Apply(t.Context(), network.State{})
				require.NoError(t, err)
				require.Equal(t, before, s.saved(t, firewall), "seed %d", seed)
			}
		})
	}
}

func TestForeignLinks(t *testing.T) {
	needNamespaces(t)
	s := newSpace(t)
	m := s.manager(t, "")
	s.IP(t,
		"link add eth0 type veth peer name eth1", "address add 203.0.113.1/24 dev eth0",
		"link add tap0 type veth peer name tap1", "link add xenint type veth peer name peer0")

	ours := network.State{Bridges: []network.Bridge{{Name: "xhbr0", Ports: []string{"eth1"}}}}
	_, err := m.Apply(t.Context(), ours)
	require.NoError(t, err)

	_, err = m.Apply(t.Context(), network.State{Bridges: []network.Bridge{{Name: "xhbr0", Ports: []string{"eth0", "eth1"}}}})
	require.ErrorIs(t, err, network.ErrForeign, "dom0 has its address there")
	_, err = m.Apply(t.Context(), network.State{Bridges: []network.Bridge{{Name: "xenint"}}})
	require.ErrorIs(t, err, network.ErrForeign, "not a bridge")

	s.IP(t, "link set tap0 master xhbr0", "address add 10.9.9.9/24 dev xhbr0")
	have, err := m.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, ours, have, "what others add to our bridge is not ours")
	_, err = m.Apply(t.Context(), network.State{})
	require.ErrorIs(t, err, network.ErrForeign, "the bridge still holds tap0")
	assert.ErrorContains(t, err, "tap0")
	s.IP(t, "link set tap0 nomaster")
	_, err = m.Apply(t.Context(), network.State{})
	require.NoError(t, err)
	assert.NotContains(t, s.Run(t, "", "ip", "link"), "xhbr0")
}

func TestForeignVif(t *testing.T) {
	needNamespaces(t)
	s := newSpace(t)
	m := s.manager(t, "")
	g := guest(1)
	s.IP(t, "link add xenint type bridge", "link add "+g.Ports[0].Vif+" type veth peer name peer0",
		"link set "+g.Ports[0].Vif+" alias xenhost:someone-else:0")
	require.ErrorIs(t, m.Set(t.Context(), g), network.ErrConflict)
	have, err := m.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, network.State{}, have)
}

func TestOtherFirewall(t *testing.T) {
	needNamespaces(t)
	for _, firewall := range firewalls() {
		t.Run("rules by "+firewall, func(t *testing.T) {
			s := newSpace(t)
			s.IP(t, "link add xenint type bridge")
			others := slices.DeleteFunc(firewalls(), func(f string) bool { return f == firewall })
			for _, other := range others { // both have looked before
				_, err := s.manager(t, other).Read(t.Context())
				require.NoError(t, err)
			}
			require.NoError(t, s.manager(t, firewall).Set(t.Context(), guest(1)))
			for _, other := range others {
				_, err := s.manager(t, other).Read(t.Context())
				require.ErrorIs(t, err, network.ErrForeign, other)
			}
			c, err := s.manager(t, "").Probe(t.Context())
			require.NoError(t, err)
			assert.Equal(t, firewall, c.Pick, "ours are kept")
			require.NoError(t, s.manager(t, firewall).Remove(t.Context(), guest(1).UUID))
			for _, other := range others {
				_, err := s.manager(t, other).Read(t.Context())
				require.NoError(t, err)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	needNamespaces(t)
	s := newSpace(t)
	s.IP(t, "link add xenint type bridge")
	probe := func() network.Caps {
		t.Helper()
		c, err := s.manager(t, "").Probe(t.Context())
		require.NoError(t, err)
		assert.True(t, c.NFT && c.IPv6)
		return c
	}
	if probe().Variant == "nf_tables" {
		assert.Equal(t, network.NFT, probe().Pick)
	}
	s.Run(t, "", "iptables-nft", "-P", "FORWARD", "DROP")
	assert.Equal(t, network.IPTablesNFT, probe().Pick)
	s.Run(t, "", "iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
	_, err := s.manager(t, "").Probe(t.Context())
	require.ErrorIs(t, err, network.ErrForeign, "both are in use")
	_, err = s.manager(t, "").Read(t.Context())
	require.ErrorIs(t, err, network.ErrForeign)
	require.NoError(t, s.manager(t, network.IPTablesNFT).Set(t.Context(), guest(1)), "who insists is obeyed")
	require.ErrorIs(t, s.manager(t, "pf").Set(t.Context(), guest(1)), network.ErrInvalid)
}

func TestLinksComeAndGo(t *testing.T) {
	needNamespaces(t)
	s := newSpace(t)
	m := s.manager(t, "")
	s.IP(t, "link add xenint type bridge")
	want := guest(1, forward(network.TCP, 8080, 1, 80))
	require.NoError(t, m.Set(t.Context(), want))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 30 {
			have, err := m.Read(t.Context())
			assert.NoError(t, err)
			assert.Equal(t, []network.Guest{want}, have.Guests)
		}
	}()
	for running := true; running; {
		s.IP(t, "link add other0 type veth peer name other1", "link set other0 master xenint up", "link delete other0")
		select {
		case <-done:
			running = false
		default:
		}
	}
}
