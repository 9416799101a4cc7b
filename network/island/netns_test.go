package island_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/nstest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/island"
	"github.com/xenhost/xenhost/network/island/islandtest"
)

// newHost is a dom0 with an interface xenext.
func newHost(t *testing.T) (nstest.Space, *island.Linux) {
	t.Helper()
	nstest.Need(t, "nft")
	dom0 := nstest.New(t)
	dom0.IP(t, "link add xenext type veth peer name world", "link set xenext up")
	m := island.New(&island.Options{NetNS: dom0.Path(), LockDir: t.TempDir()})
	return dom0, m
}

func TestLinux(t *testing.T) {
	islandtest.TestManager(t, func(t *testing.T) (island.Manager, func(string)) {
		dom0, m := newHost(t)
		t.Cleanup(func() {
			assert.Equal(t, "", dom0.Run(t, "", "nft", "list", "ruleset"), "the last one took the table along")
		})
		return m, func(name string) { dom0.IP(t, "link add "+name+" type bridge") }
	})
}

// world is a dom0 with guests on its internal bridge, an Internet, and a clone
// of one of the guests on an island.
type world struct {
	dom0, internet, origin, other, clone nstest.Space
	linux                                *island.Linux
	island                               island.Island
}

func newWorld(t *testing.T) *world {
	nstest.Need(t, "nft")
	w := &world{dom0: nstest.New(t), internet: nstest.New(t), origin: nstest.New(t), other: nstest.New(t), clone: nstest.New(t), island: islandtest.Sample()}
	w.linux = island.New(&island.Options{NetNS: w.dom0.Path(), LockDir: t.TempDir()})
	w.dom0.IP(t,
		"link add xenext type veth peer name eth0 netns "+w.internet.Name, "address add 203.0.113.2/24 dev xenext", "link set xenext up",
		"link add xenint type bridge", "address add 192.168.0.1/16 dev xenint", "link set xenint up",
		"link add origin type veth peer name eth0 netns "+w.origin.Name, "link set origin master xenint up",
		"link add other type veth peer name eth0 netns "+w.other.Name, "link set other master xenint up")
	w.internet.IP(t, "address add 203.0.113.1/24 dev eth0", "link set eth0 up")
	w.origin.IP(t, "address add 192.168.0.10/16 dev eth0", "link set eth0 up", "route add default via 192.168.0.1")
	w.other.IP(t, "address add 192.168.0.11/16 dev eth0", "link set eth0 up", "route add default via 192.168.0.1")
	net := network.New(&network.Options{NetNS: w.dom0.Path(), Firewall: "nft", LockDir: t.TempDir()})
	_, err := net.Apply(t.Context(), network.State{
		Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/16"), Out: "xenext"}},
		Guests: []network.Guest{{UUID: islandtest.Sample().UUID,
			Ports:    []network.Port{{Vif: "other", Bridge: "xenint", MAC: network.MAC{0, 0x16, 0x3e, 0, 0, 2}, Addresses: []netip.Addr{netip.MustParseAddr("192.168.0.11")}}},
			Forwards: []network.Forward{{Proto: network.TCP, Port: 8080, To: netip.MustParseAddrPort("192.168.0.11:80")}}}},
	})
	require.NoError(t, err)
	require.NoError(t, w.linux.Set(t.Context(), w.island))
	t.Cleanup(func() { assert.NoError(t, w.linux.Remove(context.Background(), w.island.UUID)) })
	w.plug(t)
	return w
}

// plug does what Xen's script does for the clone's vif.
func (w *world) plug(t *testing.T) {
	vif := island.VifName(w.island.UUID, 0)
	w.dom0.IP(t, "link add "+vif+" type veth peer name eth0 netns "+w.clone.Name,
		"link set "+vif+" master "+island.BridgeName(w.island.UUID, 0)+" up")
	w.clone.IP(t, "address add 192.168.0.10/16 dev eth0", "link set eth0 up", "route add default via 192.168.0.1")
}

// serve answers every connection with who asked, until the test ends.
func serve(t *testing.T, s nstest.Space, addr string) {
	var l net.Listener
	s.Inside(t, func() (err error) {
		l, err = net.Listen("tcp4", addr)
		return err
	})
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, c.RemoteAddr().(*net.TCPAddr).IP.String())
			_ = c.Close()
		}
	}()
}

// ask connects and returns what it is told.
func ask(s nstest.Space, addr string) (string, error) {
	var c net.Conn
	err := s.Do(func() (err error) {
		c, err = net.DialTimeout("tcp4", addr, 700*time.Millisecond)
		return err
	})
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	text, err := io.ReadAll(c)
	return string(text), err
}

func TestIsland(t *testing.T) {
	w := newWorld(t)
	serve(t, w.internet, ":80")
	serve(t, w.dom0, ":22")
	serve(t, w.origin, ":80")
	serve(t, w.other, ":80")
	serve(t, w.clone, ":80")

	for _, s := range []nstest.Space{w.clone, w.origin, w.clone} {
		from, err := ask(s, "203.0.113.1:80")
		require.NoError(t, err, "the world")
		require.Equal(t, "203.0.113.2", from, "by the host's address")
	}
	from, err := ask(w.other, "192.168.0.10:80")
	require.NoError(t, err)
	require.Equal(t, "192.168.0.11", from, "the origin has its address")
	from, err = ask(w.internet, "203.0.113.2:8080")
	require.NoError(t, err, "the forward works for the world")
	require.Equal(t, "203.0.113.1", from)

	seen := w.other.Tap(t, "eth0")
	for _, to := range []string{
		"192.168.0.11:80",  // a guest
		"192.168.0.1:22",   // dom0, by the gateway's address
		"203.0.113.2:22",   // dom0, by its public address
		"203.0.113.2:8080", // a guest, by a forward of the host
		"198.18.0.0:22",    // dom0, by the transit address
	} {
		_, err := ask(w.clone, to)
		require.Error(t, err, "the clone reached %s", to)
	}
	w.clone.Tap(t, "eth0").Send(t, toBridge(t, w))
	_, err = ask(w.origin, "192.168.0.11:80") // by then the other frames would have come too
	require.NoError(t, err)
	require.Zero(t, seen.Seen(fromClone))
	w.internet.IP(t, "route add 198.18.0.0/16 via 203.0.113.2", "route add 192.168.0.0/16 via 203.0.113.2")
	_, err = ask(w.internet, "198.18.0.1:80")
	require.Error(t, err, "nobody begins a connection to it")
}

// strange is what the clone calls itself in toBridge, so that the frame is known.
var strange = []byte{198, 18, 0, 9}

func fromClone(frame []byte) bool {
	return len(frame) > 34 && bytes.Equal(frame[12:14], []byte{8, 0}) && bytes.Equal(frame[26:30], strange)
}

// toBridge is an IP packet for the other guest in a frame to the MAC of the
// bridge itself, which dom0 would route if it took it in.
func toBridge(t *testing.T, w *world) []byte {
	mac := bridgeMAC(t, w)
	packet := make([]byte, 14+28)
	copy(packet[0:], mac)
	copy(packet[6:], []byte{2, 0, 0, 0, 0, 9})
	binary.BigEndian.PutUint16(packet[12:], 0x0800)
	ip := packet[14:]
	ip[0], ip[3], ip[8], ip[9] = 0x45, 28, 64, 17
	copy(ip[12:], strange)
	copy(ip[16:], []byte{192, 168, 0, 11})
	sum := 0
	for i := 0; i < 20; i += 2 {
		sum += int(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum>>16+sum&0xffff))
	return packet
}

func bridgeMAC(t *testing.T, w *world) net.HardwareAddr {
	var mac net.HardwareAddr
	w.dom0.Inside(t, func() error {
		i, err := net.InterfaceByName(island.BridgeName(w.island.UUID, 0))
		if err == nil {
			mac = i.HardwareAddr
		}
		return err
	})
	return mac
}
