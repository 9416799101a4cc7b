package network_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen/dom0"
)

// space is a network namespace that stands for one machine; it is gone when
// the test ends.
type space struct{ name string }

var spaces atomic.Int32 // numbers the namespaces of this process

// needNamespaces lets the test go on in the tier netns, and in the dom0 of a
// lab host, where the namespaces are as good.
func needNamespaces(tb testing.TB) {
	tb.Helper()
	t := tier.NetNS
	if !tier.Demanded(t) && tier.Demanded(tier.Dom0) {
		t = tier.Dom0
	}
	tier.Require(tb, t)
	if os.Geteuid() != 0 {
		tier.CanNot(tb, t, "it needs root")
	}
	for _, tool := range []string{"ip", "nft", "iptables-nft", "iptables-legacy"} {
		if _, err := exec.LookPath(tool); err != nil {
			tier.CanNot(tb, t, "it needs "+tool)
		}
	}
}

func newSpace(tb testing.TB) space {
	tb.Helper()
	s := space{fmt.Sprintf("xht%d-%d", os.Getpid(), spaces.Add(1))}
	run(tb, "", "ip", "netns", "add", s.name)
	tb.Cleanup(func() { run(tb, "", "ip", "netns", "delete", s.name) })
	s.ip(tb, "link set lo up")
	return s
}

// run runs a command on the host and returns what it printed.
func run(tb testing.TB, stdin string, argv ...string) string {
	tb.Helper()
	var out strings.Builder
	err := dom0.Local{}.Run(context.Background(), dom0.Cmd{Args: argv, Stdin: strings.NewReader(stdin), Stdout: &out})
	require.NoError(tb, err, "%s", stdin)
	return out.String()
}

// ip runs lines of "ip -batch" in the namespace.
func (s space) ip(tb testing.TB, lines ...string) {
	tb.Helper()
	run(tb, strings.Join(lines, "\n")+"\n", "ip", "-n", s.name, "-batch", "-")
}

// run runs a command in the namespace.
func (s space) run(tb testing.TB, stdin string, argv ...string) string {
	tb.Helper()
	return run(tb, stdin, append([]string{"ip", "netns", "exec", s.name}, argv...)...)
}

func (s space) path() string { return "/run/netns/" + s.name }

// inside calls f on a thread in the namespace; sockets that it opens stay there.
func (s space) inside(tb testing.TB, f func() error) {
	tb.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		ns, err := netns.GetFromName(s.name)
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

// manager returns the manager of the namespace.
func (s space) manager(tb testing.TB, iptables string) *network.Linux {
	return network.New(&network.Options{NetNS: s.path(), Firewall: iptables, LockDir: tb.TempDir()})
}

// listen opens a socket in the namespace until the test ends.
func (s space) listen(t *testing.T, proto network.Proto, at netip.AddrPort) {
	t.Helper()
	v := "4"
	if at.Addr().Is6() {
		v = "" // IPv4 too
	}
	s.inside(t, func() error {
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
	probe.ip(t, "link add eth0 type veth peer name eth1")
	var out []string
	for kind, line := range map[string]string{"bond": "link add b0 type bond", "vlan": "link add link eth0 name v0 type vlan id 7"} {
		argv := append([]string{"ip", "-n", probe.name}, strings.Fields(line)...)
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
				s.ip(t,
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
