package network_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/nstest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen/dom0"
)

// space is a machine that a network can be kept on.
type space struct{ nstest.Space }

func newSpace(tb testing.TB) space {
	tb.Helper()
	return space{nstest.New(tb)}
}

// needNamespaces lets the test go on where namespaces and all firewalls are.
func needNamespaces(tb testing.TB) {
	tb.Helper()
	nstest.Need(tb, "nft", "iptables-nft", "iptables-legacy")
}

// manager returns the manager of the namespace.
func (s space) manager(tb testing.TB, iptables string) *network.Linux {
	return network.New(&network.Options{NetNS: s.Path(), Firewall: iptables, LockDir: tb.TempDir()})
}

// listen opens a socket in the namespace until the test ends.
func (s space) listen(t *testing.T, proto network.Proto, at netip.AddrPort) {
	t.Helper()
	v := "4"
	if at.Addr().Is6() {
		v = "" // IPv4 too
	}
	s.Inside(t, func() error {
		if proto == network.UDP {
			c, err := net.ListenUDP("udp"+v, net.UDPAddrFromAddrPort(at))
			if err == nil {
				t.Cleanup(func() { _ = c.Close() })
			}
			return err
		}
		l, err := net.ListenTCP("tcp"+v, net.TCPAddrFromAddrPort(at))
		if err == nil {
			t.Cleanup(func() { _ = l.Close() })
		}
		return err
	})
}

// variants are the two families of iptables.
func variants() []string { return []string{"iptables-nft", "iptables-legacy"} }

// firewalls are all that our rules can be kept by.
func firewalls() []string { return append(variants(), "nft") }

// lacks finds out which interfaces this kernel can not make.
func lacks(t *testing.T) []string {
	t.Helper()
	probe := newSpace(t)
	probe.IP(t, "link add eth0 type veth peer name eth1")
	var out []string
	for kind, line := range map[string]string{"bond": "link add b0 type bond", "vlan": "link add link eth0 name v0 type vlan id 7"} {
		argv := append([]string{"ip", "-n", probe.Name}, strings.Fields(line)...)
		if err := (dom0.Local{}).Run(t.Context(), dom0.Cmd{Args: argv}); err != nil {
			require.Regexp(t, "not supported|Unknown device type", err.Error())
			out = append(out, kind)
		}
	}
	return out
}

func TestLinux(t *testing.T) {
	needNamespaces(t)
	missing := lacks(t)
	for _, variant := range firewalls() {
		t.Run(variant, func(t *testing.T) {
			networktest.TestManager(t, func(t *testing.T) networktest.Site {
				s := newSpace(t)
				s.IP(t,
					"link add xenint type bridge",
					"link add eth1 type veth peer name eth1p",
					"link add eth2 type veth peer name eth3",
					"link set eth1 master xenint up",
					"address add 192.168.0.1/16 dev xenint",
					"link set xenint up",
				)
				return networktest.Site{
					Manager: s.manager(t, variant),
					Foreign: network.Bridge{
						Name: "xenint", Ports: []string{"eth1"},
						Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.1/16")},
					},
					Free:   [2]string{"eth2", "eth3"},
					Lacks:  missing,
					Listen: s.listen,
				}
			})
		})
	}
}
