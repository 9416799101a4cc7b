package confirm_test

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/confirm"
	"github.com/xenhost/xenhost/network/guard"
)

func tenant(n byte) network.Guest {
	id := uuid.UUID{0xc0, 0, 0, n, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, n}
	at := netip.AddrFrom4([4]byte{192, 168, 0, n})
	return network.Guest{
		UUID: id,
		Ports: []network.Port{{
			Vif: network.VifName(id, 0), Bridge: "xenext", MAC: network.MAC{0, 0x16, 0x3e, 9, 0, n}, Addresses: []netip.Addr{at},
		}},
		Forwards: []network.Forward{{Proto: network.TCP, Port: 8000 + uint16(n), To: netip.AddrPortFrom(at, 80)}},
	}
}

// An attack is a change of the network that somebody wants confirmed: a state,
// and what a hand does to our own rules and links right after it was applied.
type attack struct {
	name  string
	state func(r *rand.Rand, s *confirm.State)
	hand  func(o *office, t *testing.T, r *rand.Rand)
}

func attacks() []attack {
	bridge := func(s *confirm.State) *network.Bridge { return &s.Network.Bridges[0] }
	addGuest := func(s *confirm.State, g network.Guest) {
		s.Network.Guests = append(s.Network.Guests, g)
		s.Guard.Guests = append(s.Guard.Guests, guard.Of(g))
	}
	change := func(name string, f func(r *rand.Rand, s *confirm.State)) attack { return attack{name: name, state: f} }
	byHand := func(name string, f func(o *office, t *testing.T, r *rand.Rand)) attack {
		return attack{name: name, hand: f}
	}
	nft := func(name, script string) attack {
		return byHand(name, func(o *office, t *testing.T, _ *rand.Rand) { o.dom0.Run(t, script, "nft", "-f", "-") })
	}
	ip := func(name, line string) attack {
		return byHand(name, func(o *office, t *testing.T, _ *rand.Rand) { o.dom0.IP(t, line) })
	}
	return []attack{
		change("nothing is left", func(_ *rand.Rand, s *confirm.State) { *s.Network, *s.Guard = network.State{}, guard.State{Open: true} }),
		change("the bridge goes", func(_ *rand.Rand, s *confirm.State) { s.Network.Bridges, s.Network.Guests = nil, nil }),
		change("the uplink goes", func(_ *rand.Rand, s *confirm.State) { bridge(s).Ports = nil }),
		change("the address goes", func(_ *rand.Rand, s *confirm.State) { bridge(s).Addresses = nil }),
		change("another address", func(r *rand.Rand, s *confirm.State) {
			bridge(s).Addresses[0] = netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(2 + r.IntN(200))}), 24)
		}),
		change("the uplink in another bridge", func(_ *rand.Rand, s *confirm.State) {
			bridge(s).Ports = nil
			s.Network.Bridges = append(s.Network.Bridges, network.Bridge{Name: "xenint", Ports: []string{"eth0"}})
		}),
		change("a forward of the control port", func(_ *rand.Rand, s *confirm.State) {
			g := tenant(2)
			g.Forwards[0].Port = controlPort
			addGuest(s, g)
		}),
		change("forwards of many ports", func(r *rand.Rand, s *confirm.State) {
			g := tenant(2)
			for range 50 {
				f := g.Forwards[0]
				f.Port = uint16(1 + r.IntN(65535))
				g.Forwards = append(g.Forwards, f)
			}
			addGuest(s, g)
		}),
		change("everybody is masqueraded", func(_ *rand.Rand, s *confirm.State) {
			s.Network.Masquerades = []network.Masquerade{{Source: netip.MustParsePrefix("128.0.0.0/1"), Out: "xenext"}}
		}),
		change("the uplink under the guard", func(_ *rand.Rand, s *confirm.State) {
			g := guard.Of(tenant(2))
			g.Ports[0].Vif = "eth0"
			s.Guard.Guests = append(s.Guard.Guests, g)
		}),
		change("a guest with dom0's address", func(_ *rand.Rand, s *confirm.State) {
			g := tenant(2)
			g.Ports[0].Addresses[0] = netip.MustParseAddr("203.0.113.1")
			g.Forwards = nil
			addGuest(s, g)
		}),
		change("a guest with the router's address", func(_ *rand.Rand, s *confirm.State) {
			g := tenant(2)
			g.Ports[0].Addresses[0] = netip.MustParseAddr("203.0.113.254")
			g.Forwards = nil
			addGuest(s, g)
		}),
		nft("the guard drops all", "insert rule bridge xenhost_guard entry drop"),
		nft("the guard's policy is to drop", "add chain bridge xenhost_guard entry { policy drop; }"),
		nft("the guard drops IPv4", "insert rule bridge xenhost_guard entry ether type ip drop"),
		nft("the guard has the uplink", `add element bridge xenhost_guard ports { "eth0" }`),
		nft("another chain of the guard", "add chain bridge xenhost_guard x { type filter hook input priority 0; policy drop; }"),
		byHand("our rules take the control port", hijack),
		ip("the uplink leaves the bridge", "link set eth0 nomaster"),
		ip("the address is deleted", "address delete 203.0.113.1/24 dev xenext"),
		ip("the route is deleted", "route delete default"),
		ip("the bridge is deleted", "link delete xenext"),
	}
}

// hijack sends new control connections to nowhere, by a rule that
// carries our mark, in place of one of ours.
func hijack(o *office, t *testing.T, _ *rand.Rand) {
	chain := regexp.MustCompile(`(?m)^-A PREROUTING .*-j (XH\S+)`).FindStringSubmatch(o.dom0.Run(t, "", "iptables-save", "-t", "nat"))
	if chain == nil { // forwards are kept by nft alone
		o.dom0.Run(t, "insert rule bridge xenhost_guard entry ip daddr 203.0.113.1 drop", "nft", "-f", "-")
		return
	}
	o.dom0.Run(t, "", "iptables", "-t", "nat", "-R", chain[1], "1", "-p", "tcp", "--dport", "2222", "-m", "comment", "--comment", "xenhost: tcp port 2222", "-j", "DNAT", "--to-destination", "192.168.0.99:22")
}

// handed is a network whose first Apply is followed by a hand.
type handed struct {
	network.Manager
	hand func()
}

func (h *handed) Apply(ctx context.Context, want network.State) (network.Plan, error) {
	hand := h.hand
	h.hand = func() {}
	plan, err := h.Manager.Apply(ctx, want)
	if err == nil {
		hand()
	}
	return plan, err
}

// promised is how long after the end of the window the operator can log in at
// the latest: a keeper looks at the clock each 50 ms, and to put back all
// of the network is a matter of a few seconds on a machine with other work.
const promised = 10 * time.Second

// TestLockout: whatever somebody does to our part of the network, the operator
// can log in afterwards, at the latest when the window is over. In tier netns
// every second attack has its turn; 200 of them run in tier lab-full.
func TestLockout(t *testing.T) {
	o := newOffice(t)
	all := attacks()
	n, step := len(all)/2, 2
	if tier.Demanded(tier.LabFull) {
		n, step = 200, 1
	}
	r := rand.New(rand.NewPCG(7, 7))
	outcome := map[string]int{}
	var longest time.Duration
	for i := range n {
		a := all[i*step%len(all)]
		what, late := o.strike(t, r, a)
		t.Logf("%s: %s %v", a.name, what, late.Round(time.Millisecond))
		outcome[what]++
		longest = max(longest, late)
		assert.Less(t, late, promised, a.name)
		require.False(t, t.Failed(), a.name)
	}
	t.Logf("RESULT %d attacks: %v; the operator could log in %v after the end of the window at the latest", n, outcome, longest.Round(time.Millisecond))
	for _, what := range []string{"refused", "harmless", "taken back"} {
		assert.NotZero(t, outcome[what], what)
	}
}

// strike lets one attack happen and returns what became of it. If the operator
// is cut off, the window ends, and it returns how long after that a login
// succeeds.
func (o *office) strike(t *testing.T, r *rand.Rand, a attack) (what string, late time.Duration) {
	t.Helper()
	want := base()
	if a.state != nil {
		a.state(r, &want)
	}
	target := o.target
	if a.hand != nil {
		target.Network = &handed{o.target.Network, func() { a.hand(o, t, r) }}
	}
	c := confirm.New(target, options(o.dom0.Name, o.dir, time.Hour))
	_, err := c.Apply(t.Context(), want)
	switch {
	case err != nil:
		assert.NotContains(t, err.Error(), "read back", "a refusal comes before the change")
		what = "refused"
	case o.alive(500 * time.Millisecond):
		require.NoError(t, c.Revert(t.Context()))
		what = "harmless"
	default:
		o.hurry(t)
		over := time.Now()
		require.Eventually(t, func() bool { return o.alive(500 * time.Millisecond) }, 2*time.Minute, time.Millisecond, a.name)
		what, late = "taken back", time.Since(over)
	}
	require.Eventually(t, func() bool { _, err := c.Pending(); return err != nil }, 2*time.Minute, 5*time.Millisecond, a.name)
	o.isBase(t)
	return what, late
}
