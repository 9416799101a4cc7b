package check

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/dom0"
)

func natted() *network.State {
	return &network.State{Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/16"), Out: "xenext"}}}
}

func routed() *network.State {
	return &network.State{Guests: []network.Guest{{Ports: []network.Port{{Routed: true}}}}}
}

func forwarded() *network.State {
	return &network.State{Guests: []network.Guest{{Forwards: []network.Forward{{Proto: network.TCP, Port: 80, To: netip.MustParseAddrPort("192.168.0.10:80")}}}}}
}

// Each line is a host and the codes of what is found, the worst first.
func TestFindings(t *testing.T) {
	bridge := func(i Interface) map[string]Interface {
		i.IsBridge, i.Up = true, true
		return map[string]Interface{"xenint": i}
	}
	for name, c := range map[string]struct {
		seen Seen
		want string
	}{
		"nothing is known": {Seen{}, ""},
		"a host in order": {Seen{
			Want: natted(), Variant: "nf_tables", NFTTables: []string{"ip nat", "ip filter", "bridge xenhost_guard"}, ForwardPolicy: "ACCEPT",
			Sysctls:    map[string]string{"ipv4.ip_forward": "1", "bridge.bridge-nf-call-iptables": "0", "ipv4.conf.all.rp_filter": "2", "ipv4.conf.xenint.rp_filter": "1"},
			Interfaces: bridge(Interface{MTU: 1500}), Conntrack: 5000, ConntrackMax: 262144, Netback: true, NetbackQueues: 1, CPUs: 8,
		}, ""},
		"masquerade without forwarding":      {Seen{Want: natted(), Sysctls: map[string]string{"ipv4.ip_forward": "0"}}, "error forwarding-off"},
		"forwards without forwarding":        {Seen{Want: forwarded(), Sysctls: map[string]string{"ipv4.ip_forward": "0"}}, "error forwarding-off"},
		"routed guests without forwarding":   {Seen{Want: routed(), Sysctls: map[string]string{"ipv4.ip_forward": "0"}}, "error forwarding-off"},
		"nobody needs forwarding":            {Seen{Want: &network.State{}, Sysctls: map[string]string{"ipv4.ip_forward": "0"}}, ""},
		"IPv6 without forwarding":            {Seen{Dual: true, Sysctls: map[string]string{"ipv6.conf.all.forwarding": "0"}}, "error forwarding6-off"},
		"br_netfilter":                       {Seen{Sysctls: map[string]string{"bridge.bridge-nf-call-iptables": "1"}}, "note br-netfilter"},
		"br_netfilter and a policy":          {Seen{Sysctls: map[string]string{"bridge.bridge-nf-call-ip6tables": "1"}, ForwardPolicy: "DROP"}, "error br-netfilter"},
		"a policy that guests will notice":   {Seen{Want: natted(), ForwardPolicy: "DROP"}, "note forward-drop"},
		"a policy on a host without guests":  {Seen{ForwardPolicy: "DROP"}, ""},
		"both families":                      {Seen{Variant: "legacy", LegacyTables: []string{"nat"}, NFTTables: []string{"ip filter"}}, "warning mixed-iptables"},
		"legacy beside nft of others":        {Seen{Variant: "legacy", LegacyTables: []string{"nat"}, NFTTables: []string{"inet fw", "bridge xenhost_guard"}}, ""},
		"legacy that iptables does not show": {Seen{Variant: "nf_tables", LegacyTables: []string{"nat"}}, "warning legacy-hidden"},
		"strict reverse path by all":         {Seen{Interfaces: bridge(Interface{}), Sysctls: map[string]string{"ipv4.conf.all.rp_filter": "1", "ipv4.conf.xenint.rp_filter": "0"}}, "note rp-filter-strict"},
		"loose reverse path":                 {Seen{Interfaces: bridge(Interface{}), Sysctls: map[string]string{"ipv4.conf.all.rp_filter": "1", "ipv4.conf.xenint.rp_filter": "2"}}, ""},
		"no router for a router":             {Seen{Interfaces: bridge(Interface{}), Sysctls: map[string]string{"ipv6.conf.all.forwarding": "1", "ipv6.conf.xenint.accept_ra": "1"}}, "note accept-ra"},
		"a router that listens to another":   {Seen{Interfaces: bridge(Interface{}), Sysctls: map[string]string{"ipv6.conf.all.forwarding": "1", "ipv6.conf.xenint.accept_ra": "2"}}, ""},
		"conntrack has room":                 {Seen{Conntrack: 79, ConntrackMax: 100}, ""},
		"conntrack fills":                    {Seen{Conntrack: 80, ConntrackMax: 100}, "warning conntrack-full"},
		"conntrack is full":                  {Seen{Conntrack: 98, ConntrackMax: 100}, "error conntrack-full"},
		"queues by processors":               {Seen{Netback: true, CPUs: 4}, "note netback-queues"},
		"queues and rates":                   {Seen{Netback: true, NetbackQueues: 2, CPUs: 4, Rates: true}, "warning netback-queues"},
		"no Xen":                             {Seen{CPUs: 4, Rates: true}, ""},
		"spanning tree":                      {Seen{Interfaces: bridge(Interface{STP: true, ForwardWait: 1500})}, "note bridge-stp"},
		"a bridge that is down":              {Seen{Interfaces: map[string]Interface{"xenint": {IsBridge: true}}}, "error bridge-down"},
		"a port that is too small": {Seen{Interfaces: map[string]Interface{
			"xenint": {IsBridge: true, Up: true, MTU: 9000}, "eth1": {Bridge: "xenint", MTU: 1500}, "x7f3a0000.0": {Bridge: "xenint", MTU: 9000},
		}}, "warning mtu-small"},
		"the worst comes first": {Seen{Conntrack: 99, ConntrackMax: 100, Netback: true, CPUs: 2, LegacyTables: []string{"nat"}, Variant: "nf_tables"},
			"error conntrack-full, warning legacy-hidden, note netback-queues"},
	} {
		var got []string
		for _, f := range Findings(c.seen) {
			got = append(got, string(f.Level)+" "+f.Code)
			assert.NotEmpty(t, f.What, name)
			assert.NotEmpty(t, f.Do, name)
		}
		assert.Equal(t, c.want, strings.Join(got, ", "), name)
	}
}

// tools answers as the commands would.
type tools map[string]string

func (l tools) Run(_ context.Context, cmd dom0.Cmd) error {
	answer, ok := l[strings.Join(cmd.Args, " ")]
	if !ok {
		return &dom0.Error{Args: cmd.Args, ExitCode: -1, Err: &exec.Error{Name: cmd.Args[0], Err: exec.ErrNotFound}}
	}
	if answer == "fails" {
		return &dom0.Error{Args: cmd.Args, ExitCode: 1}
	}
	_, err := io.WriteString(cmd.Stdout, answer)
	return err
}

// host writes the files of a host below a folder.
func host(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return root
}

func TestRead(t *testing.T) {
	root := host(t, map[string]string{
		"sys/class/net/xenint/flags":                       "0x1003\n",
		"sys/class/net/xenint/mtu":                         "1500\n",
		"sys/class/net/xenint/bridge/stp_state":            "1\n",
		"sys/class/net/xenint/bridge/forward_delay":        "1500\n",
		"sys/class/net/eth1/flags":                         "0x1002\n",
		"sys/class/net/eth1/mtu":                           "9000\n",
		"sys/module/xen_netback/parameters/max_queues":     "4\n",
		"proc/sys/net/ipv4/ip_forward":                     "1\n",
		"proc/sys/net/ipv4/conf/all/rp_filter":             "0\n",
		"proc/sys/net/ipv4/conf/xenint/rp_filter":          "2\n",
		"proc/sys/net/bridge/bridge-nf-call-iptables":      "1\n",
		"proc/sys/net/netfilter/nf_conntrack_count":        "12\n",
		"proc/sys/net/netfilter/nf_conntrack_max":          "262144\n",
		"proc/net/ip_tables_names":                         "nat\nfilter\n",
		"proc/sys/net/ipv6/conf/xenint/accept_ra":          "1\n",
		"proc/sys/net/ipv6/conf/all/forwarding":            "0\n",
		"proc/sys/net/bridge/bridge-nf-call-ip6tables":     "0\n",
		"proc/sys/net/bridge/bridge-nf-filter-vlan-tagged": "0\n",
	})
	require.NoError(t, os.Symlink("../xenint", filepath.Join(root, "sys/class/net/eth1/master")))
	run := tools{
		"iptables --version":  "iptables v1.8.9 (nf_tables)\n",
		"nft -j list tables":  `{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "ip", "name": "nat", "handle": 2}}]}`,
		"iptables -S FORWARD": "-P FORWARD DROP\n-A FORWARD -j XH-FWD\n",
	}
	seen, err := Read(t.Context(), &Options{Runner: run, Root: root, Rates: true})
	require.NoError(t, err)
	seen.CPUs = 0 // of this machine
	assert.Equal(t, Seen{
		Sysctls: map[string]string{
			"ipv4.ip_forward": "1", "ipv4.conf.all.rp_filter": "0", "ipv4.conf.xenint.rp_filter": "2", "ipv6.conf.all.forwarding": "0",
			"ipv6.conf.xenint.accept_ra": "1", "bridge.bridge-nf-call-iptables": "1", "bridge.bridge-nf-call-ip6tables": "0",
		},
		Interfaces: map[string]Interface{
			"xenint": {IsBridge: true, STP: true, ForwardWait: 1500, Up: true, MTU: 1500}, "eth1": {Bridge: "xenint", MTU: 9000},
		},
		Variant: "nf_tables", LegacyTables: []string{"nat", "filter"}, NFTTables: []string{"ip nat"}, ForwardPolicy: "DROP",
		Conntrack: 12, ConntrackMax: 262144, NetbackQueues: 4, Netback: true, Rates: true,
	}, seen)

	bare, err := Read(t.Context(), &Options{Runner: tools{}, Root: host(t, map[string]string{"sys/class/net/lo/flags": "0x9"})})
	require.NoError(t, err, "a host without any of the tools")
	assert.Empty(t, Findings(bare))
	_, err = Read(t.Context(), &Options{Runner: tools{"iptables --version": "fails"}, Root: root})
	var failed *dom0.Error
	require.ErrorAs(t, err, &failed)
	_, err = Read(t.Context(), &Options{Runner: tools{"nft -j list tables": "{"}, Root: root})
	require.ErrorContains(t, err, "nft's list of tables")
	_, err = Read(t.Context(), &Options{Runner: tools{}, Root: t.TempDir()})
	require.True(t, errors.Is(err, os.ErrNotExist), "a root without sys is no host: %v", err)
}

func TestVariant(t *testing.T) {
	for text, want := range map[string]string{
		"iptables v1.8.9 (nf_tables)": "nf_tables", "iptables v1.8.9 (legacy)": "legacy", "iptables v1.6.1": "legacy",
	} {
		assert.Equal(t, want, variantOf(text))
	}
	assert.Empty(t, policyOf("iptables: No chain/target/match by that name."))
}

// The machine that the tests run on can be read, whatever it is.
func TestReadHere(t *testing.T) {
	tier.Require(t, tier.NetNS)
	seen, err := Read(t.Context(), nil)
	require.NoError(t, err)
	assert.Contains(t, seen.Interfaces, "lo")
	assert.NotEmpty(t, seen.Variant)
	assert.Contains(t, []string{"0", "1"}, seen.Sysctls["ipv4.ip_forward"])
}
