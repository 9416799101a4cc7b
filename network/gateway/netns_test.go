package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/nstest"
	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/gateway"
	"github.com/xenhost/xenhost/xen/dom0"
)

// street is two hosts with a cable between their private bridges, and a guest
// that is plugged into one of them.
type street struct {
	hosts [2]nstest.Space
	guest nstest.Space
}

func newStreet(t *testing.T) street {
	s := street{hosts: [2]nstest.Space{nstest.New(t), nstest.New(t)}, guest: nstest.New(t)}
	for n, h := range s.hosts {
		h.IP(t, "link add xenint type bridge mcast_snooping 0", "link set xenint up", "link add xenext type bridge", "link set xenext up",
			fmt.Sprintf("address add 192.168.0.%d/16 dev xenint", n+1), fmt.Sprintf("address add 2001:db8::%d/64 dev xenint nodad", n+1))
	}
	s.hosts[0].IP(t, "link add eth1 type veth peer name eth1 netns "+s.hosts[1].Name, "link set eth1 master xenint up")
	s.hosts[1].IP(t, "link set eth1 master xenint up")
	s.hosts[0].IP(t, "link add vif type veth peer name eth0 netns "+s.guest.Name, "link set vif master xenint up")
	s.guest.IP(t, "address add 192.168.0.10/16 dev eth0", "address add 2001:db8::10/64 dev eth0 nodad", "link set eth0 up")
	return s
}

// After a move the neighbours still have the guest's old MAC, and the switch
// its old port; one announcement puts both right.
func TestAnnounce(t *testing.T) {
	nstest.Need(t)
	s := newStreet(t)
	s.reaches(t, "192.168.0.2") // bridges need a moment to see that their ports are up
	id := uuid.New()
	moved := network.Guest{UUID: id, Ports: []network.Port{{
		Vif: network.VifName(id, 0), Bridge: "xenint", MAC: network.MAC{0, 0x16, 0x3e, 0, 0, 0x77},
		Addresses: []netip.Addr{netip.MustParseAddr("192.168.0.77"), netip.MustParseAddr("2001:db8::77")},
	}}}
	const old = "00:16:3e:00:00:66"
	s.guest.IP(t, "neigh add 192.168.0.77 lladdr "+old+" dev eth0 nud stale", "neigh add 2001:db8::77 lladdr "+old+" dev eth0 nud stale")
	require.NoError(t, gateway.Announce(t.Context(), moved, &gateway.AnnounceOptions{NetNS: s.hosts[1].Path(), Times: 2, Pause: time.Millisecond}))
	for _, a := range moved.Ports[0].Addresses {
		assert.Eventually(t, func() bool {
			return strings.Contains(s.guest.Run(t, "", "ip", "neigh", "show", a.String()), "lladdr 00:16:3e:00:00:77")
		}, 5*time.Second, 10*time.Millisecond, "%v", a)
	}
	assert.Contains(t, s.hosts[0].Run(t, "", "bridge", "fdb", "show", "dev", "eth1"), "00:16:3e:00:00:77 master xenint")

	moved.Ports[0].Bridge = "nosuch0"
	require.ErrorContains(t, gateway.Announce(t.Context(), moved, &gateway.AnnounceOptions{NetNS: s.hosts[1].Path()}), "interface nosuch0")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	moved.Ports[0].Bridge = "xenint"
	require.ErrorIs(t, gateway.Announce(ended, moved, &gateway.AnnounceOptions{NetNS: s.hosts[1].Path(), Times: 2, Pause: time.Hour}), context.Canceled)
}

// Two keepalived with our configuration: the guests' gateway is at the better
// host, goes to the other one when that loses its uplink or dies, and comes
// back. The guest reaches it all the time, but for the election.
func TestTakeOver(t *testing.T) {
	tier.Require(t, tier.LabFull) // it waits for elections
	if _, err := dom0.Output(t.Context(), dom0.Local{}, "which", "keepalived"); err != nil {
		tier.CanNot(t, tier.LabFull, "it needs keepalived")
	}
	s := newStreet(t)
	var stop [2]func()
	for n := range s.hosts {
		stop[n] = s.keepalived(t, n)
	}
	s.serves(t, 0)
	t.Run("the uplink fails", func(t *testing.T) {
		s.hosts[0].IP(t, "link set xenext down")
		s.serves(t, 1)
		s.hosts[0].IP(t, "link set xenext up")
		s.serves(t, 0)
	})
	t.Run("the host dies", func(t *testing.T) {
		s.hosts[0].IP(t, "link set eth1 down", "link set vif nomaster") // as a host without power looks from outside
		s.hosts[1].IP(t, "link add vif2 type veth peer name eth1 netns "+s.guest.Name, "link set vif2 master xenint up")
		s.guest.IP(t, "link set eth0 down", "address add 192.168.0.10/16 dev eth1", "address add 2001:db8::10/64 dev eth1 nodad", "link set eth1 up")
		stop[0]()
		s.serves(t, 1)
	})
}

// keepalived runs on a host until stop is called.
func (s street) keepalived(t *testing.T, n int) (stop func()) {
	t.Helper()
	g := gateway.Gateway{
		Host: fmt.Sprintf("host%d", n), Bridge: "xenint", ID: 51, Priority: 150 - n, Uplinks: []string{"xenext"},
		Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.254/16"), netip.MustParsePrefix("2001:db8::fe/64")},
		Self:      netip.AddrFrom4([4]byte{192, 168, 0, byte(n + 1)}), Peers: []netip.Addr{netip.AddrFrom4([4]byte{192, 168, 0, byte(2 - n)})},
	}
	require.NoError(t, g.Validate())
	dir := t.TempDir()
	path := filepath.Join(dir, "keepalived.conf")
	require.NoError(t, os.WriteFile(path, []byte(g.Keepalived()), 0o644))
	s.hosts[n].Run(t, "", "keepalived", "--config-test", "--use-file", path)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = dom0.Local{}.Run(ctx, dom0.Cmd{Args: []string{"nsenter", "--net=" + s.hosts[n].Path(), "keepalived", "--dont-fork", "--vrrp",
			"--use-file", path, "--pid", filepath.Join(dir, "pid"), "--vrrp_pid", filepath.Join(dir, "vrrp")}})
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// serves waits until this host alone has both addresses, and the guest reaches
// them.
func (s street) serves(t *testing.T, n int) {
	t.Helper()
	began := time.Now()
	has := func(h nstest.Space) bool {
		out := h.Run(t, "", "ip", "address", "show", "dev", "xenint")
		return strings.Contains(out, "192.168.0.254/16") && strings.Contains(out, "2001:db8::fe/64")
	}
	require.Eventually(t, func() bool { return has(s.hosts[n]) }, 20*time.Second, 20*time.Millisecond)
	t.Logf("RESULT host %d serves after %v", n, time.Since(began).Round(10*time.Millisecond))
	s.reaches(t, "192.168.0.254")
	s.reaches(t, "2001:db8::fe")
}

// reaches waits until a host answers the guest, be it by a refusal.
func (s street) reaches(t *testing.T, address string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return errors.Is(s.guest.Do(func() error {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(address, "9"), time.Second)
			if err == nil {
				_ = c.Close()
			}
			return err
		}), unix.ECONNREFUSED)
	}, 20*time.Second, 20*time.Millisecond, "the guest reaches %s", address)
}
