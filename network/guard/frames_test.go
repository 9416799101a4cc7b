package guard_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/nstest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/network/guard/guardtest"
)

// yard is a host with a bridge, on which two guests and an uplink are.
type yard struct {
	dom0, mallory, victim, outside nstest.Space
	guard                          *guard.Linux
	from                           *nstest.Tap // mallory's own end
	places                         map[string]*nstest.Tap
}

func machine(n byte) guardtest.Host {
	return guardtest.Host{
		MAC: network.MAC{0, 0x16, 0x3e, 0, 0, n}, V4: netip.AddrFrom4([4]byte{10, 0, 0, n}),
		V6: netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: n}),
	}
}

// The vifs' names follow from the guests' UUIDs.
func guest(n byte) guard.Guest {
	id, m := uuid.UUID{0xb0, 0, 0, n, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, n}, machine(n)
	return guard.Guest{UUID: id, Ports: []guard.Port{{Vif: network.VifName(id, 0), MAC: m.MAC, Addresses: []netip.Addr{m.V4, m.V6}}}}
}

const (
	malloryNo = byte(1)
	victimNo  = byte(2)
	outsideNo = byte(3)
	dom0No    = byte(4)
)

func newYard(t *testing.T) *yard {
	y := &yard{dom0: nstest.New(t), mallory: nstest.New(t), victim: nstest.New(t), outside: nstest.New(t)}
	y.guard = manager(t, y.dom0)
	y.dom0.IP(t, fmt.Sprintf("link add xenint address %v type bridge mcast_snooping 0", machine(dom0No).MAC), "link set xenint up",
		"address add 10.0.0.4/24 dev xenint", "address add 2001:db8::4/64 dev xenint nodad")
	y.plug(t, y.victim, guest(victimNo).Ports[0].Vif, machine(victimNo))
	y.plug(t, y.outside, "eth1", machine(outsideNo))
	y.plug(t, y.mallory, guest(malloryNo).Ports[0].Vif, machine(malloryNo))
	y.from = y.mallory.Tap(t, "eth0")
	y.places = map[string]*nstest.Tap{
		"another guest": y.victim.Tap(t, "eth0"), "the outside": y.outside.Tap(t, "eth0"), "dom0": y.dom0.Tap(t, "xenint"),
	}
	return y
}

// plug makes a machine's interface with its other end in the bridge, as Xen
// does each time that a domain starts.
func (y *yard) plug(t *testing.T, m nstest.Space, vif string, who guardtest.Host) {
	t.Helper()
	y.dom0.IP(t, fmt.Sprintf("link add %s type veth peer name eth0 address %v netns %s", vif, who.MAC, m.Name))
	m.IP(t, fmt.Sprintf("address add %v/24 dev eth0", who.V4), fmt.Sprintf("address add %v/64 dev eth0 nodad", who.V6), "link set eth0 up")
	y.dom0.IP(t, fmt.Sprintf("link set %s address fe:ff:ff:ff:ff:ff master xenint up", vif))
}

// seen counts at how many places each frame came in, and all of it.
func (y *yard) seen(frames []guardtest.Frame) (total int) {
	for _, tap := range y.places {
		for _, f := range frames {
			total += tap.Seen(func(b []byte) bool { return len(f.Mark) > 0 && bytes.Contains(b, f.Mark) })
		}
	}
	return total
}

// pass sends frames of mallory that must come to each place.
func (y *yard) pass(t *testing.T, frames []guardtest.Frame) {
	t.Helper()
	for _, f := range frames {
		for place, tap := range y.places {
			is := func(b []byte) bool { return bytes.Contains(b, f.Mark) }
			before := tap.Seen(is)
			y.from.Send(t, f.Bytes)
			assert.Eventually(t, func() bool { return tap.Seen(is) > before }, 20*time.Second, time.Millisecond, "%s at %s", f.Name, place)
		}
	}
}

// stopped sends frames of mallory that must come to no place. Each one is
// counted as dropped before it is looked whether any came through. It returns
// what was counted.
func (y *yard) stopped(t *testing.T, frames ...guardtest.Frame) guard.Drops {
	t.Helper()
	before, was := y.seen(frames), y.drops(t)
	for _, f := range frames {
		y.from.Send(t, f.Bytes)
	}
	var now guard.Drops
	assert.Eventually(t, func() bool {
		now = less(y.drops(t), was)
		return total(now) >= uint64(len(frames))
	}, 20*time.Second, time.Millisecond, "%d frames are dropped", len(frames))
	assert.Equal(t, before, y.seen(frames), "frames that came through")
	return now
}

func (y *yard) drops(t *testing.T) guard.Drops {
	t.Helper()
	d, err := y.guard.Drops(t.Context())
	require.NoError(t, err)
	return d
}

func total(d guard.Drops) uint64 {
	return d.Unknown + d.MAC + d.Type + d.ARP + d.IPv4 + d.IPv6 + d.Neighbour + d.DHCP + d.Router
}

func less(a, b guard.Drops) guard.Drops {
	return guard.Drops{
		Unknown: a.Unknown - b.Unknown, MAC: a.MAC - b.MAC, Type: a.Type - b.Type, ARP: a.ARP - b.ARP, IPv4: a.IPv4 - b.IPv4,
		IPv6: a.IPv6 - b.IPv6, Neighbour: a.Neighbour - b.Neighbour, DHCP: a.DHCP - b.DHCP, Router: a.Router - b.Router,
	}
}

// talk lets the kernels of two machines find and answer each other.
func talk(t *testing.T, from, to nstest.Space, at netip.Addr) {
	t.Helper()
	var l net.Listener
	to.Inside(t, func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(at, 80).String())
		return err
	})
	defer l.Close()
	from.Inside(t, func() error {
		c, err := net.DialTimeout("tcp", l.Addr().String(), 5*time.Second)
		if err == nil {
			err = c.Close()
		}
		return err
	})
}

func TestForgedFrames(t *testing.T) {
	nstest.Need(t, "nft")
	y := newYard(t)
	me, victim := machine(malloryNo), machine(victimNo)
	forged, honest := guardtest.Forged(me, victim), guardtest.Honest(me)
	both := guard.State{Guests: []guard.Guest{guest(malloryNo), guest(victimNo)}}

	t.Run("without a guard all of them come through", func(t *testing.T) { y.pass(t, forged) })

	_, err := y.guard.Apply(t.Context(), both)
	require.NoError(t, err)
	t.Run("forged frames come nowhere", func(t *testing.T) {
		assert.EqualValues(t, len(forged), total(y.stopped(t, forged...)))
		for name, why := range map[string]guard.Drops{
			"IPv4 from the victim's MAC":                          {MAC: 1},
			"802.1Q tag":                                          {Type: 1},
			"gratuitous ARP for the victim's address":             {ARP: 1},
			"IPv4 from the victim's address":                      {IPv4: 1},
			"fragment that ends before its transport header":      {IPv6: 1},
			"duplicate address detection of the victim's address": {Neighbour: 1},
			"IPv6 DHCP server":                                    {DHCP: 1},
			"router advertisement behind an extension header":     {Router: 1},
		} {
			i := slices.IndexFunc(forged, func(f guardtest.Frame) bool { return f.Name == name })
			require.GreaterOrEqual(t, i, 0, name)
			assert.Equal(t, why, y.stopped(t, forged[i]), name)
		}
	})
	t.Run("honest frames pass", func(t *testing.T) { y.pass(t, honest) })
	t.Run("guests, dom0 and the outside talk", func(t *testing.T) {
		for _, other := range []struct {
			space nstest.Space
			who   guardtest.Host
		}{{y.victim, victim}, {y.outside, machine(outsideNo)}, {y.dom0, machine(dom0No)}} {
			talk(t, y.mallory, other.space, other.who.V4)
			talk(t, y.mallory, other.space, other.who.V6)
			talk(t, other.space, y.mallory, me.V4)
			talk(t, other.space, y.mallory, me.V6)
		}
	})
	t.Run("a whole network is the guest's", func(t *testing.T) {
		g := guest(malloryNo)
		g.Ports[0].Networks = []netip.Prefix{netip.MustParsePrefix("2001:db8:9::/64")}
		require.NoError(t, y.guard.Set(t.Context(), g))
		inside := me
		inside.V6 = netip.MustParseAddr("2001:db8:9::77")
		y.pass(t, guardtest.Honest(inside))
		y.stopped(t, guardtest.Forged(inside, victim)...)
		require.NoError(t, y.guard.Set(t.Context(), guest(malloryNo)))
		y.stopped(t, guardtest.Honest(inside)[5])
	})
	restart := func(vif string) {
		y.dom0.IP(t, "link delete "+guest(malloryNo).Ports[0].Vif)
		y.plug(t, y.mallory, vif, me)
		y.from = y.mallory.Tap(t, "eth0")
	}
	t.Run("after a restart of the guest it holds from the first frame on", func(t *testing.T) {
		restart(guest(malloryNo).Ports[0].Vif)
		y.stopped(t, forged...)
		y.pass(t, honest)
	})
	t.Run("the port of the device model is the guest's too", func(t *testing.T) {
		restart(guest(malloryNo).Ports[0].Vif + "-emu")
		y.stopped(t, forged...)
		y.pass(t, honest)
	})
	t.Run("who is not known may send nothing", func(t *testing.T) {
		require.NoError(t, y.guard.Remove(t.Context(), guest(malloryNo).UUID))
		why := y.stopped(t, slices.Concat(forged, honest)...)
		assert.Equal(t, why.Unknown, total(why))
		talk(t, y.outside, y.victim, victim.V4)
		talk(t, y.dom0, y.outside, machine(outsideNo).V6)
	})
}
