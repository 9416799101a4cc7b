package meter_test

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/nstest"
)

// street is a dom0 with a bridge, a guest behind vif1.0 in it and one behind a
// routed vif2.0, and a server on the Internet beyond eth0.
type street struct {
	dom0, guest, routed, world nstest.Space
}

func newStreet(tb testing.TB) street {
	nstest.Need(tb, "nft")
	s := street{nstest.New(tb), nstest.New(tb), nstest.New(tb), nstest.New(tb)}
	s.dom0.IP(tb, "link add xenbr0 type bridge", "link set xenbr0 up",
		"link add eth0 type veth peer name eth0 netns "+s.world.Name, "link set eth0 up master xenbr0",
		"addr add 198.51.100.1/24 dev xenbr0", "addr add 2001:db8::1/64 dev xenbr0 nodad")
	s.world.IP(tb, "link set eth0 up", "addr add 198.51.100.9/24 dev eth0", "addr add 2001:db8::9/64 dev eth0 nodad",
		"addr add 203.0.113.9/32 dev lo", "addr add 192.0.2.9/32 dev lo", "route add 10.7.0.0/24 via 198.51.100.1")
	s.plug(tb)
	s.dom0.IP(tb, "link add vif2.0 type veth peer name eth0 netns "+s.routed.Name, "link set vif2.0 up",
		"addr add 10.7.0.1/32 dev vif2.0", "route add 10.7.0.2/32 dev vif2.0")
	s.routed.IP(tb, "link set eth0 up", "addr add 10.7.0.2/32 dev eth0", "route add 10.7.0.1/32 dev eth0", "route add default via 10.7.0.1")
	s.dom0.Run(tb, "1", "tee", "/proc/sys/net/ipv4/ip_forward")
	return s
}

// plug makes the guest's vif, as when its domain starts.
func (s street) plug(tb testing.TB) {
	s.dom0.IP(tb, "link add vif1.0 type veth peer name eth0 netns "+s.guest.Name, "link set vif1.0 up master xenbr0")
	s.guest.IP(tb, "link set eth0 up", "addr add 198.51.100.2/24 dev eth0", "addr add 2001:db8::2/64 dev eth0 nodad",
		"route add 203.0.113.9/32 via 198.51.100.9", "route add 192.0.2.9/32 via 198.51.100.9")
}

// unplug takes it away.
func (s street) unplug(tb testing.TB) { s.dom0.IP(tb, "link delete vif1.0") }

// sends lets a machine send so many datagrams, and waits until the other one has
// them all. It returns their bytes from the IP header on.
func sends(tb testing.TB, from, to nstest.Space, local, remote string, n, size int) (bytes int64) {
	tb.Helper()
	var sender, receiver net.PacketConn
	to.Inside(tb, func() (err error) { receiver, err = net.ListenPacket("udp", net.JoinHostPort(remote, "0")); return err })
	defer receiver.Close()
	from.Inside(tb, func() (err error) { sender, err = net.ListenPacket("udp", net.JoinHostPort(local, "0")); return err })
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
