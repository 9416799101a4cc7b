package shaping_test

import (
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/shaping"
)

// TestRepair: whatever of ours somebody takes away or changes by hand, Read
// shows that it is not in force and Apply puts it right. mends tells where
// Refresh, which knows the record only, can do the same.
func TestRepair(t *testing.T) {
	needNamespaces(t)
	for name, c := range map[string]struct {
		by    []string
		mends bool
	}{
		"a vif's queue removed":      {[]string{"tc", "qdisc", "delete", "dev", "g0", "root"}, true},
		"a vif's queue changed":      {[]string{"tc", "qdisc", "change", "dev", "g0", "root", "handle", "5650:", "tbf", "rate", "9mbit", "burst", "80kb", "limit", "90kb"}, true},
		"what it sends let go":       {[]string{"tc", "qdisc", "delete", "dev", "g0", "ingress"}, true},
		"its way round removed":      {[]string{"sh", "-c", "ip link delete $(ip -o link | grep -o 'xs[0-9a-f]*' | head -1)"}, true},
		"its way round blocked":      {[]string{"tc", "filter", "delete", "dev", "g0", "ingress"}, true},
		"a class removed":            {[]string{"tc", "class", "delete", "dev", "eth0", "classid", "5651:1"}, true},
		"a class changed":            {[]string{"tc", "class", "change", "dev", "eth0", "parent", "5651:ffff", "classid", "5651:1", "htb", "rate", "9mbit"}, true},
		"dom0's class changed":       {[]string{"tc", "class", "change", "dev", "eth0", "parent", "5651:ffff", "classid", "5651:fffe", "htb", "rate", "9mbit"}, true},
		"the uplink's queue gone":    {[]string{"tc", "qdisc", "delete", "dev", "eth0", "root"}, true},
		"a note removed":             {[]string{"nft", "delete", "element", "bridge", "xenhost_shaping", "classes", `{ "g0" }`}, false},
		"a table removed":            {[]string{"nft", "delete", "table", "bridge", "xenhost_shaping"}, false},
		"the other table removed":    {[]string{"nft", "delete", "table", "inet", "xenhost_shaping"}, false},
		"the ruleset flushed":        {[]string{"nft", "flush", "ruleset"}, false},
		"another's rules come along": {[]string{"nft", "add", "table", "inet", "mine"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStreet(t)
			want := shaping.State{
				Uplink: shaping.Uplink{Dev: "eth0", Rate: shaping.Gbit},
				Guests: []shaping.Guest{s.guest(0, shaping.Policy{Download: 10 * shaping.Mbit, Upload: 5 * shaping.Mbit, Send: 50 * shaping.Mbit}), s.guest(1, shaping.Policy{Upload: shaping.Mbit})},
			}.Normalize()
			_, err := s.manager.Apply(t.Context(), want)
			require.NoError(t, err)
			s.host.run(t, "", c.by...)
			have, err := s.manager.Read(t.Context())
			require.NoError(t, err)
			if name == "another's rules come along" {
				assert.Equal(t, want, have)
			} else {
				assert.NotEqual(t, want, have)
			}
			if !c.mends { // and what is asked for may differ from what was
				want.Guests[0].Policy.Weight = 2
			}
			if c.mends {
				_, err = s.manager.Refresh(t.Context())
			} else {
				_, err = s.manager.Apply(t.Context(), want)
			}
			require.NoError(t, err)
			have, err = s.manager.Read(t.Context())
			require.NoError(t, err)
			assert.Equal(t, want, have)
			plan, err := s.manager.Apply(t.Context(), want)
			require.NoError(t, err)
			assert.True(t, plan.Empty())
		})
	}
}

// TestRulesetLoadsAgain: an operator who saves the whole ruleset with nft gets
// a file that nft reads.
func TestRulesetLoadsAgain(t *testing.T) {
	needNamespaces(t)
	s := newStreet(t)
	s.apply(t, shaping.Gbit, shaping.Policy{Upload: shaping.Mbit, Download: shaping.Mbit})
	before, err := s.manager.Read(t.Context())
	require.NoError(t, err)
	saved := s.host.run(t, "", "nft", "list", "ruleset")
	s.host.run(t, "flush ruleset\n"+saved, "nft", "-f", "-")
	after, err := s.manager.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, before, after)
}

// TestRouted: a guest behind dom0's own address is limited like a bridged one,
// though routing overwrites a packet's priority. Unshaped guests go with dom0.
func TestRouted(t *testing.T) {
	needNamespaces(t)
	s := newStreet(t)
	s.host.ip(t, "link set g0 nomaster", "link add xenint type bridge", "address add 10.8.0.1/24 dev xenint", "link set xenint up", "link set g0 master xenint")
	s.guests[0].ip(t, "address flush dev eth0", "address add 10.8.0.2/24 dev eth0", "route add default via 10.8.0.1")
	s.host.run(t, "", "sysctl", "-qw", "net.ipv4.ip_forward=1")
	s.host.run(t, "table ip nat { chain post { type nat hook postrouting priority 100; oifname \"xenbr0\" masquerade; }; }", "nft", "-f", "-")
	s.apply(t, shaping.Gbit, shaping.Policy{Upload: 20 * shaping.Mbit})
	for i, from := range []space{s.guests[0], s.guests[1]} {
		class, before := s.read(t).counters[0].Upload.Bytes, s.line(t).bytes
		s.send(t, from, 1<<20)
		require.Eventually(t, func() bool {
			own, rest := s.read(t).counters[0].Upload.Bytes-class, s.line(t).bytes-before
			if i == 1 {
				own, rest = rest, own
			}
			return own > 1<<20 && rest < 1<<16
		}, 10*time.Second, 10*time.Millisecond, "guest %d", i)
	}
}

// send sends so many bytes to the world and waits until they have arrived.
func (s *street) send(t *testing.T, from space, size int) {
	t.Helper()
	var l net.Listener
	s.world.inside(t, func() (err error) {
		l, err = net.Listen("tcp", "10.9.1.1:0")
		return err
	})
	defer l.Close()
	got := make(chan int, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		n, piece := 0, make([]byte, 1<<16)
		for {
			k, err := c.Read(piece)
			if n += k; err != nil {
				got <- n
				return
			}
		}
	}()
	var c net.Conn
	from.inside(t, func() (err error) {
		c, err = net.DialTimeout("tcp", l.Addr().String(), 10*time.Second)
		return err
	})
	_, err := c.Write(make([]byte, size))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	assert.Equal(t, size, <-got)
}

// TestFairQueues: below each limit stands the best queue that the kernel has.
func TestFairQueues(t *testing.T) {
	needNamespaces(t)
	s := newStreet(t)
	s.apply(t, shaping.Gbit, shaping.Policy{Upload: shaping.Mbit, Download: shaping.Mbit})
	queues := s.host.run(t, "", "tc", "qdisc", "show")
	want := []string{"bfifo .* dev eth0 parent 5651:1 ", "bfifo .* dev eth0 parent 5651:fffe "}
	if exec.Command("ip", "netns", "exec", s.world.name, "tc", "qdisc", "add", "dev", "w0", "root", "fq_codel").Run() == nil {
		want = []string{"fq_codel .* dev eth0 parent 5651:1 ", "fq_codel .* dev eth0 parent 5651:fffe ", "fq_codel .* dev g0 parent 5650:1 "}
	}
	for _, q := range want {
		assert.Regexp(t, q, queues)
	}
	g := s.guest(0, shaping.Policy{Upload: 2 * shaping.Mbit, Download: 2 * shaping.Mbit})
	require.NoError(t, s.manager.Set(t.Context(), g))
	queues = s.host.run(t, "", "tc", "qdisc", "show")
	for _, q := range want {
		assert.Regexp(t, q, queues, "after a change")
	}
}

// TestNothingStaysBehind: a guest that is removed leaves no class, and applying
// nothing leaves the host as it was before us.
func TestNothingStaysBehind(t *testing.T) {
	needNamespaces(t)
	s := newStreet(t)
	kernel := func() string {
		return s.host.run(t, "", "nft", "list", "ruleset") + s.host.run(t, "", "tc", "qdisc", "show") + s.host.run(t, "", "tc", "class", "show", "dev", "eth0")
	}
	before := kernel()
	before += s.host.run(t, "", "ip", "-br", "link")
	s.apply(t, shaping.Gbit, shaping.Policy{Upload: shaping.Mbit, Download: shaping.Mbit, Send: shaping.Mbit}, shaping.Policy{Upload: shaping.Mbit})
	require.Contains(t, kernel(), "class htb 5651:2 ")
	require.NoError(t, s.manager.Remove(t.Context(), s.guest(1, shaping.Policy{}).UUID))
	assert.NotContains(t, kernel(), "class htb 5651:2 ")
	s.apply(t, shaping.Gbit)
	assert.NotContains(t, kernel(), "class htb 5651:1 ")
	assert.NotContains(t, kernel(), "tbf 5650: dev g0")
	_, err := s.manager.Apply(t.Context(), shaping.State{})
	require.NoError(t, err)
	assert.Equal(t, before, kernel()+s.host.run(t, "", "ip", "-br", "link"))
}

// TestTwoManagers: two processes that keep the same host do not undo each
// other's work.
func TestTwoManagers(t *testing.T) {
	needNamespaces(t)
	s := newStreet(t)
	s.apply(t, shaping.Gbit)
	locks := t.TempDir()
	a := shaping.New(&shaping.Options{NetNS: s.host.path(), LockDir: locks})
	b := shaping.New(&shaping.Options{NetNS: s.host.path(), LockDir: locks})
	first, second := s.guest(0, shaping.Policy{Upload: 500 * shaping.Mbit}), s.guest(1, shaping.Policy{Upload: 400 * shaping.Mbit})
	require.NoError(t, a.Set(t.Context(), first))
	require.NoError(t, b.Set(t.Context(), second))
	first.Policy.Weight = 3
	require.NoError(t, a.Set(t.Context(), first))
	third := s.guest(2, shaping.Policy{Upload: shaping.Mbit})
	require.ErrorIs(t, a.Set(t.Context(), third), shaping.ErrOvercommitted, "b's promise counts")
	require.NoError(t, b.Remove(t.Context(), second.UUID))
	require.NoError(t, a.Set(t.Context(), third))
	have, err := b.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []shaping.Guest{first, third}, have.Guests)
}
