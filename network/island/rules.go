package island

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/dom0"
)

// The rules of dom0 are the same however many islands there are; the set ways
// holds what may pass, a pair for each way out and, for a bridge whose frames
// netfilter is shown (bridge-nf-call-iptables), one to itself. Those are kept
// out of conntrack: an island has the addresses of somebody else.
const dom0Rules = `add table inet xenhost_island
add set inet xenhost_island ways { type ifname . ifname; }
add chain inet xenhost_island raw { type filter hook prerouting priority -300; policy accept; }
add chain inet xenhost_island input { type filter hook input priority -10; policy accept; }
add chain inet xenhost_island forward { type filter hook forward priority -10; policy accept; }
add chain inet xenhost_island out { type nat hook postrouting priority 100; policy accept; }
flush chain inet xenhost_island raw
flush chain inet xenhost_island input
flush chain inet xenhost_island forward
flush chain inet xenhost_island out
add rule inet xenhost_island raw iifgroup %[1]d meta iifkind "bridge" notrack
add rule inet xenhost_island input iifgroup %[1]d drop
add rule inet xenhost_island forward iifgroup %[1]d iifname . oifname != @ways drop
add rule inet xenhost_island forward iifgroup != %[1]d oifgroup %[1]d ct state != { established, related } drop
add rule inet xenhost_island out ip saddr %[2]v masquerade
`

// The router's own: what leaves has its address in the transit network, and
// nothing comes in that was not asked for.
const routerRules = `add table ip island
flush table ip island
add chain ip island in { type filter hook input priority 0; policy accept; }
add chain ip island pass { type filter hook forward priority 0; policy accept; }
add chain ip island out { type nat hook postrouting priority 100; policy accept; }
add rule ip island in iifname "out" ct state != { established, related } drop
add rule ip island pass iifname "out" ct state != { established, related } drop
add rule ip island out oifname "out" masquerade
`

// ways are the pairs of interfaces of an island between which packets pass.
func ways(i Island) []string {
	var out []string
	pair := func(a, b string) string { return fmt.Sprintf("%q . %q", a, b) }
	for n := range i.Links {
		b := BridgeName(i.UUID, n)
		out = append(out, pair(b, b))
	}
	if i.Out != "" {
		out = append(out, pair(uplinkName(i.UUID), i.Out))
	}
	return out
}

// writeRules writes dom0's rules, for all islands, and this one's ways, in one
// transaction.
func (l *Linux) writeRules(ctx context.Context, want Island) error {
	have, err := l.listWays(ctx, want.UUID)
	if err != nil {
		return err
	}
	script := fmt.Sprintf(dom0Rules, group, l.transit.Masked())
	for _, w := range have {
		script += "delete element inet xenhost_island ways { " + w + " }\n"
	}
	script += "add element inet xenhost_island ways { " + strings.Join(ways(want), ", ") + " }\n"
	return l.nft(ctx, script)
}

// listWays lists the ways of a guest that are in the set; none if there is no
// table.
func (l *Linux) listWays(ctx context.Context, id uuid.UUID) ([]string, error) {
	tables, err := dom0.Output(ctx, l.runner, l.argv("nft", "list", "tables", "inet")...)
	if err != nil || !strings.Contains(string(tables), "table inet xenhost_island\n") {
		return nil, err
	}
	text, err := dom0.Output(ctx, l.runner, l.argv("nft", "list", "set", "inet", "xenhost_island", "ways")...)
	if err != nil {
		return nil, err
	}
	_, text2, _ := strings.Cut(string(text), "elements = {")
	text2, _, _ = strings.Cut(text2, "}")
	var found []string
	for one := range strings.SplitSeq(text2, ",") {
		one = strings.TrimSpace(one)
		if strings.HasPrefix(one, `"cb`+short(id)+`.`) || strings.HasPrefix(one, `"`+uplinkName(id)+`"`) {
			found = append(found, one)
		}
	}
	return found, nil
}

// rulesHold looks whether dom0's rules and the island's ways are in force.
func (l *Linux) rulesHold(ctx context.Context, want Island) bool {
	text, err := dom0.Output(ctx, l.runner, l.argv("nft", "list", "table", "inet", "xenhost_island")...)
	if err != nil {
		return false // there is none; else writing it will tell what is wrong
	}
	for _, w := range ways(want) {
		if !strings.Contains(string(text), w) {
			return false
		}
	}
	// one hook each; whoever took a rule out is found by their number
	return strings.Count(string(text), " drop\n") == 3 && strings.Count(string(text), " notrack\n") == 1 && strings.Count(string(text), " masquerade\n") == 1
}

// dropRules takes an island's ways out, and the table with the last one.
func (l *Linux) dropRules(ctx context.Context, id uuid.UUID, last bool) error {
	if last {
		return l.nft(ctx, "add table inet xenhost_island\ndelete table inet xenhost_island\n")
	}
	have, err := l.listWays(ctx, id)
	if err != nil || len(have) == 0 {
		return err
	}
	return l.nft(ctx, "delete element inet xenhost_island ways { "+strings.Join(have, ", ")+" }\n")
}

func (l *Linux) writeRouterRules(ctx context.Context, want Island) error {
	return l.runner.Run(ctx, dom0.Cmd{
		Args: []string{"nsenter", "--net=" + routerPath(want.UUID), "nft", "-f", "-"}, Stdin: strings.NewReader(routerRules),
	})
}

func (l *Linux) nft(ctx context.Context, script string) error {
	return l.runner.Run(ctx, dom0.Cmd{Args: l.argv("nft", "-f", "-"), Stdin: strings.NewReader(script)})
}

func (l *Linux) argv(args ...string) []string {
	if l.netns != "" {
		args = append([]string{"nsenter", "--net=" + l.netns}, args...)
	}
	return args
}
