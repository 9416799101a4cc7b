package guard_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/nstest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/network/guard/guardtest"
)

// dom0MAC is the one of dom0's end of every vif.
func dom0MAC() network.MAC { return network.MAC{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff} }

// routedPlug makes a routed guest's vif, as Xen and its script do each time
// that it starts; without rp_filter, which would hide what the guard does.
func (y *yard) routedPlug(t *testing.T, m nstest.Space, vif string, who guardtest.Host) {
	t.Helper()
	y.dom0.IP(t, fmt.Sprintf("link add %s address %v type veth peer name eth0 address %v netns %s", vif, dom0MAC(), who.MAC, m.Name))
	m.IP(t, fmt.Sprintf("address add %v/32 dev eth0", who.V4), fmt.Sprintf("address add %v/128 dev eth0 nodad", who.V6), "link set eth0 up")
	y.dom0.IP(t, "address add "+network.RouterV4+"/32 dev "+vif, "address add "+network.RouterV6+"/64 dev "+vif+" nodad",
		"link set "+vif+" up", fmt.Sprintf("route add %v dev %s", who.V4, vif), fmt.Sprintf("route add %v dev %s", who.V6, vif))
	m.IP(t, "route add default via "+network.RouterV4+" dev eth0 onlink", "route add default via "+network.RouterV6+" dev eth0")
}

// newRoutedYard is a host with two routed guests, which is the router of a
// machine outside too.
func newRoutedYard(t *testing.T) *yard {
	y := &yard{dom0: nstest.New(t), mallory: nstest.New(t), victim: nstest.New(t), outside: nstest.New(t)}
	y.guard = manager(t, y.dom0)
	y.dom0.Run(t, "", "sysctl", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
		"net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
	out := machine(outsideNo)
	y.routedPlug(t, y.outside, "eth1", out)
	y.routedPlug(t, y.victim, guest(victimNo).Ports[0].Vif, machine(victimNo))
	y.routedPlug(t, y.mallory, guest(malloryNo).Ports[0].Vif, machine(malloryNo))
	y.from = y.mallory.Tap(t, "eth0")
	y.places = map[string]*nstest.Tap{"another guest": y.victim.Tap(t, "eth0"), "the outside": y.outside.Tap(t, "eth0")}
	return y
}

func routedGuest(n byte) guard.Guest {
	g := guest(n)
	g.Ports[0].Routed = true
	return g
}

// comes sends frames of mallory that must come to one place.
func (y *yard) comes(t *testing.T, place string, frames []guardtest.Frame) {
	t.Helper()
	for _, f := range frames {
		is := func(b []byte) bool { return bytes.Contains(b, f.Mark) }
		before := y.places[place].Seen(is)
		y.from.Send(t, f.Bytes)
		assert.Eventually(t, func() bool { return y.places[place].Seen(is) > before }, 20*time.Second, time.Millisecond, "%s at %s", f.Name, place)
	}
}

// neighbours are those that dom0 has on mallory's link.
func (y *yard) neighbours(t *testing.T) string {
	vif := guest(malloryNo).Ports[0].Vif
	return y.dom0.Run(t, "", "ip", "neigh", "show", "dev", vif) + y.dom0.Run(t, "", "ip", "-6", "neigh", "show", "dev", vif)
}

// again are the same frames with other marks: a machine that got the first ones
// answers with ICMP errors, which quote them, and may still do so.
func again(frames []guardtest.Frame) []guardtest.Frame {
	for i, f := range frames {
		mark := append([]byte("["), f.Mark[1:]...)
		frames[i].Bytes, frames[i].Mark = bytes.ReplaceAll(f.Bytes, f.Mark, mark), mark
	}
	return frames
}

// TestForgedFramesRouted: what a routed guest sends as somebody else comes
// nowhere, and dom0 does not believe whose neighbour it says to be.
func TestForgedFramesRouted(t *testing.T) {
	nstest.Need(t, "nft")
	y := newRoutedYard(t)
	me, victim := machine(malloryNo), machine(victimNo)
	targets := map[string]guardtest.Machine{"another guest": {V4: victim.V4, V6: victim.V6}, "the outside": {V4: machine(outsideNo).V4, V6: machine(outsideNo).V6}}
	talk(t, y.mallory, y.victim, victim.V4) // all neighbours are known
	talk(t, y.mallory, y.victim, victim.V6)
	talk(t, y.mallory, y.outside, machine(outsideNo).V4)
	talk(t, y.mallory, y.outside, machine(outsideNo).V6)
	claims := guardtest.RoutedClaims(me, victim)
	t.Run("without a guard they come through", func(t *testing.T) {
		for place, to := range targets {
			for _, f := range guardtest.RoutedForged(me, victim, dom0MAC(), to) {
				switch f.Name {
				case "IPv4 from no address", "IPv6 from no address", "IPv4 from the machine's own address", "IPv6 from the machine's own address":
					continue // the kernel routes no such packets, or the machine lets none in
				}
				y.comes(t, place, []guardtest.Frame{f})
			}
		}
		for _, f := range claims {
			y.from.Send(t, f.Bytes)
		}
		require.Eventually(t, func() bool {
			n := y.neighbours(t)
			return bytes.Contains([]byte(n), []byte(victim.V4.String()+" lladdr "+me.MAC.String())) && bytes.Contains([]byte(n), []byte(victim.V6.String()+" lladdr "+me.MAC.String()))
		}, 20*time.Second, 10*time.Millisecond)
		y.dom0.IP(t, fmt.Sprintf("neigh delete %v dev %s", victim.V4, guest(malloryNo).Ports[0].Vif), fmt.Sprintf("neigh delete %v dev %s", victim.V6, guest(malloryNo).Ports[0].Vif))
	})
	_, err := y.guard.Apply(t.Context(), guard.State{Guests: []guard.Guest{routedGuest(malloryNo), routedGuest(victimNo)}})
	require.NoError(t, err)
	holds := func(t *testing.T) {
		for place, to := range targets {
			y.stopped(t, again(guardtest.RoutedForged(me, victim, dom0MAC(), to))...)
			y.comes(t, place, guardtest.RoutedHonest(me, dom0MAC(), to))
		}
		y.stopped(t, claims...)
		assert.NotContains(t, y.neighbours(t), victim.V4.String()+" lladdr "+me.MAC.String())
		assert.NotContains(t, y.neighbours(t), victim.V6.String()+" lladdr "+me.MAC.String())
		for _, f := range guardtest.Forged(me, victim) { // all that a bridged guest would try
			y.from.Send(t, f.Bytes)
		}
		assert.Zero(t, y.seen(guardtest.Forged(me, victim)))
		talk(t, y.mallory, y.victim, victim.V4)
		talk(t, y.mallory, y.victim, victim.V6)
		talk(t, y.outside, y.mallory, me.V4)
		talk(t, y.outside, y.mallory, me.V6)
		talk(t, y.dom0, y.mallory, me.V4)
		talk(t, y.dom0, y.mallory, me.V6)
	}
	t.Run("forged frames come nowhere", holds)
	restart := func() {
		y.dom0.IP(t, "link delete "+guest(malloryNo).Ports[0].Vif)
		y.routedPlug(t, y.mallory, guest(malloryNo).Ports[0].Vif, me)
		y.from = y.mallory.Tap(t, "eth0")
	}
	t.Run("after a restart of the guest it holds from the first frame on", func(t *testing.T) {
		restart()
		holds(t)
	})
	t.Run("networks are the guest's", func(t *testing.T) {
		g := routedGuest(malloryNo)
		g.Ports[0].Networks = []netip.Prefix{netip.MustParsePrefix("2001:db8:9::/60"), netip.MustParsePrefix("10.9.0.0/29")}
		require.NoError(t, y.guard.Set(t.Context(), g))
		inside := me
		inside.V4, inside.V6 = netip.MustParseAddr("10.9.0.5"), netip.MustParseAddr("2001:db8:9:0:7::77")
		y.comes(t, "the outside", guardtest.RoutedHonest(inside, dom0MAC(), targets["the outside"]))
		inside.V4, inside.V6 = netip.MustParseAddr("10.9.0.9"), netip.MustParseAddr("2001:db8:9:10::1")
		y.stopped(t, guardtest.RoutedHonest(inside, dom0MAC(), targets["the outside"])...)
	})
	t.Run("who is not known may send nothing", func(t *testing.T) {
		require.NoError(t, y.guard.Remove(t.Context(), guest(malloryNo).UUID))
		why := y.stopped(t, append(guardtest.RoutedHonest(me, dom0MAC(), targets["the outside"]), claims...)...)
		assert.Equal(t, why.Unknown, total(why))
		talk(t, y.outside, y.victim, victim.V4)
	})
}
