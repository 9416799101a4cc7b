package meter_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen/dom0"
)

// need lets a test go on in the tier netns, and in the dom0 of a lab host.
func need(tb testing.TB) {
	tb.Helper()
	t := tier.NetNS
	if !tier.Demanded(t) && tier.Demanded(tier.Dom0) {
		t = tier.Dom0
	}
	tier.Require(tb, t)
	if os.Geteuid() != 0 {
		tier.CanNot(tb, t, "it needs root")
	}
	for _, tool := range []string{"ip", "nft", "nsenter"} {
		if _, err := dom0.Output(tb.Context(), dom0.Local{}, "which", tool); err != nil {
			tier.CanNot(tb, t, "it needs "+tool)
		}
	}
}

// machine is a network namespace.
type machine struct{ name string }

func newMachine(tb testing.TB) machine {
	m := machine{fmt.Sprintf("xhm%d-%06x", os.Getpid(), rand.Uint32()&0xffffff)}
	run(tb, "", "ip", "netns", "add", m.name)
	tb.Cleanup(func() { run(tb, "", "ip", "netns", "delete", m.name) })
	m.ip(tb, "link set lo up")
	return m
}

func run(tb testing.TB, stdin string, argv ...string) string {
	tb.Helper()
	var out strings.Builder
	err := dom0.Local{}.Run(context.Background(), dom0.Cmd{Args: argv, Stdin: strings.NewReader(stdin), Stdout: &out})
	require.NoError(tb, err, "%s", stdin)
	return out.String()
}

func (m machine) path() string { return "/run/netns/" + m.name }

func (m machine) ip(tb testing.TB, lines ...string) {
	tb.Helper()
	run(tb, strings.Join(lines, "\n")+"\n", "ip", "-n", m.name, "-batch", "-")
}

func (m machine) run(tb testing.TB, stdin string, argv ...string) string {
	tb.Helper()
	return run(tb, stdin, append([]string{"nsenter", "--net=" + m.path()}, argv...)...)
}

// inside calls f on a thread of the machine; sockets that it opens stay there.
func (m machine) inside(tb testing.TB, f func() error) {
	tb.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		ns, err := netns.GetFromName(m.name)
		if err == nil {
			defer func() { _ = ns.Close() }()
			err = netns.Set(ns)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	require.NoError(tb, <-done)
}

// street is a dom0 with a bridge, a guest behind vif1.0 in it and one behind a
// routed vif2.0, and a server on the Internet beyond eth0.
type street struct {
	dom0, guest, routed, world machine
}

func newStreet(tb testing.TB) street {
	need(tb)
	s := street{newMachine(tb), newMachine(tb), newMachine(tb), newMachine(tb)}
	s.dom0.ip(tb, "link add xenbr0 type bridge", "link set xenbr0 up",
		"link add eth0 type veth peer name eth0 netns "+s.world.name, "link set eth0 up master xenbr0",
		"addr add 198.51.100.1/24 dev xenbr0", "addr add 2001:db8::1/64 dev xenbr0 nodad")
	s.world.ip(tb, "link set eth0 up", "addr add 198.51.100.9/24 dev eth0", "addr add 2001:db8::9/64 dev eth0 nodad",
		"addr add 203.0.113.9/32 dev lo", "addr add 192.0.2.9/32 dev lo", "route add 10.7.0.0/24 via 198.51.100.1")
	s.plug(tb)
	s.dom0.ip(tb, "link add vif2.0 type veth peer name eth0 netns "+s.routed.name, "link set vif2.0 up",
		"addr add 10.7.0.1/32 dev vif2.0", "route add 10.7.0.2/32 dev vif2.0")
	s.routed.ip(tb, "link set eth0 up", "addr add 10.7.0.2/32 dev eth0", "route add 10.7.0.1/32 dev eth0", "route add default via 10.7.0.1")
	s.dom0.run(tb, "1", "tee", "/proc/sys/net/ipv4/ip_forward")
	return s
}

// plug makes the guest's vif, as when its domain starts.
func (s street) plug(tb testing.TB) {
	s.dom0.ip(tb, "link add vif1.0 type veth peer name eth0 netns "+s.guest.name, "link set vif1.0 up master xenbr0")
	s.guest.ip(tb, "link set eth0 up", "addr add 198.51.100.2/24 dev eth0", "addr add 2001:db8::2/64 dev eth0 nodad",
		"route add 203.0.113.9/32 via 198.51.100.9", "route add 192.0.2.9/32 via 198.51.100.9")
}

// unplug takes it away.
func (s street) unplug(tb testing.TB) { s.dom0.ip(tb, "link delete vif1.0") }

// sends lets a machine send so many datagrams, and waits until the other one has
// them all. It returns their bytes from the IP header on.
func sends(tb testing.TB, from, to machine, local, remote string, n, size int) (bytes int64) {
	tb.Helper()
	var sender, receiver net.PacketConn
	to.inside(tb, func() (err error) { receiver, err = net.ListenPacket("udp", net.JoinHostPort(remote, "0")); return err })
	defer receiver.Close()
	from.inside(tb, func() (err error) { sender, err = net.ListenPacket("udp", net.JoinHostPort(local, "0")); return err })
	defer sender.Close()
	payload, buf := make([]byte, size), make([]byte, size+1)
	header := 28
	if strings.Contains(remote, ":") {
		header = 48
	}
	for range n {
		_, err := sender.WriteTo(payload, receiver.LocalAddr())
		require.NoError(tb, err)
		require.NoError(tb, receiver.SetReadDeadline(deadline()))
		_, _, err = receiver.ReadFrom(buf)
		require.NoError(tb, err, "from %s to %s", local, remote)
	}
	return int64(n * (size + header))
}
