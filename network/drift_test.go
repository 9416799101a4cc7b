package network_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/dom0"
)

// TestBadLine: whichever line of whichever script the kernel refuses, the old
// set is in force, line by line. Every position is tried in the full lab's tier.
func TestBadLine(t *testing.T) {
	needNamespaces(t)
	for _, firewall := range firewalls() {
		t.Run(firewall, func(t *testing.T) {
			s := newSpace(t)
			s.IP(t, "link add xenint type bridge", "link add xenint2 type bridge")
			spoiler := &meddler{}
			m := network.New(&network.Options{NetNS: s.Path(), Firewall: firewall, LockDir: t.TempDir(), Runner: spoiler})
			old := network.State{
				Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("10.0.0.0/8"), Out: "x"}},
				Guests:      []network.Guest{dual(1, "tcp *:8080 -> 192.168.0.11:80", "tcp *:8080 -> [fd00::11]:80", "all 203.0.113.9 -> 192.168.0.11")},
			}.Normalize()
			_, err := m.Apply(t.Context(), old)
			require.NoError(t, err)
			next := network.State{
				Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("10.9.0.0/16"), Out: "x"}},
				Guests:      []network.Guest{dual(1, "tcp *:8081 -> 192.168.0.11:80", "tcp *:8080-8090 -> [fd00::11]:8080", "udp *:53 -> 192.168.0.11:53")},
			}
			next.Guests[0].Ports[0].Bridge = "xenint2"
			before := s.saved(t, firewall)
			tried, step := 0, 3
			if tier.Demanded(tier.LabFull) {
				step = 1
			}
			for ; ; tried += step {
				line := tried
				spoiler.spoil = func(_, script string) string { return spoil(script, &line) }
				_, err := m.Apply(t.Context(), next)
				if line >= 0 { // there were not so many lines
					require.NoError(t, err)
					break
				}
				var failed *dom0.Error
				require.ErrorAs(t, err, &failed)
				require.Equal(t, lines(before), lines(s.saved(t, firewall)), "line %d: %s", tried, failed.Stderr)
			}
			assert.Greater(t, tried, 10)
			t.Log("lines spoilt:", tried/step)
			have, err := m.Read(t.Context())
			require.NoError(t, err)
			assert.Equal(t, next.Normalize(), have)
		})
	}
}

// spoil puts a line that nothing understands before line number n of a script,
// but for its first and after its last; n becomes negative when that is done,
// and less by the script's lines otherwise.
func spoil(script string, n *int) string {
	all := strings.SplitAfter(script, "\n")
	last := len(all) - 2 // a script ends with a newline
	if *n < 0 || *n >= last {
		*n -= max(last, 0)
		return script
	}
	at := *n + 1
	*n = -1
	return strings.Join(all[:at], "") + "-A NOSUCHCHAIN -j NOSUCHTARGET\n" + strings.Join(all[at:], "")
}

// lines are the lines of a text in no order, since rules in most chains of ours
// have none.
func lines(text string) map[string]int {
	out := map[string]int{}
	for line := range strings.Lines(text) {
		out[line]++
	}
	return out
}

// TestHandEdit: a hand in our rules is seen at once, whatever was remembered.
func TestHandEdit(t *testing.T) {
	needNamespaces(t)
	edits := map[string][]string{
		network.IPTablesNFT: {
			"iptables-nft -t nat -F XH-P6-7e", "iptables-nft -t nat -F PREROUTING", "iptables-nft -D FORWARD 1", "iptables-nft -F XH-FWD",
			"iptables-nft -t nat -R XH-P6-7e 1 -p tcp --dport 8080 -j DNAT --to-destination 192.168.0.66:80", "iptables-nft -t nat -F",
			"ip6tables-nft -t nat -F XH-DNAT",
		},
		network.NFT: {
			"nft delete element ip xenhost port { tcp . 8080 }", "nft flush map ip xenhost port", "nft flush chain ip xenhost prerouting",
			"nft add rule ip xenhost forwards accept", "nft delete table ip xenhost", "nft flush ruleset", "nft delete table ip6 xenhost",
		},
	}
	for _, e := range edits[network.IPTablesNFT] {
		edits[network.IPTablesLegacy] = append(edits[network.IPTablesLegacy], strings.Replace(e, "-nft", "-legacy", 1))
	}
	for _, firewall := range firewalls() {
		t.Run(firewall, func(t *testing.T) {
			s := newSpace(t)
			s.IP(t, "link add xenint type bridge")
			m := s.manager(t, firewall)
			want := network.State{Guests: []network.Guest{dual(1, "tcp *:8080 -> 192.168.0.11:80", "tcp *:80 -> [fd00::11]:80"), dual(2)}}
			_, err := m.Apply(t.Context(), want)
			require.NoError(t, err)
			for _, edit := range edits[firewall] {
				s.Run(t, "", strings.Fields(edit)...)
				have, err := m.Read(t.Context())
				require.NoError(t, err)
				assert.NotEqual(t, want.Normalize(), have, edit)
				plan, err := m.Apply(t.Context(), want)
				require.NoError(t, err)
				assert.Equal(t, network.Diff(have, want), plan, edit)
				have, err = m.Read(t.Context())
				require.NoError(t, err)
				assert.Equal(t, want.Normalize(), have, edit)
			}
		})
	}
}

// A drift is a hand in our rules: a forward that leads elsewhere, and nothing
// that leads to the forwards.
func TestDriftIsSeenAndMended(t *testing.T) {
	needNamespaces(t)
	for _, firewall := range firewalls() {
		t.Run(firewall, func(t *testing.T) {
			s := newSpace(t)
			s.IP(t, "link add xenint type bridge")
			m := s.manager(t, firewall)
			g := guest(1, forward(network.TCP, 8080, 1, 80))
			require.NoError(t, m.Set(t.Context(), g))
			whole := s.saved(t, firewall)
			elsewhere := []string{"nft", "delete element ip xenhost port { tcp . 8080 }; add element ip xenhost port { tcp . 8080 comment \"" + g.UUID.String() + "\" : 192.168.0.66 . 80 }"}
			nowhere := []string{"nft", "flush chain ip xenhost prerouting"}
			script := ""
			if firewall != network.NFT {
				leaf := lineWith(whole, "DNAT --to")
				script = "*nat\n" + strings.Replace(leaf, "-A", "-D", 1) + "\n" + strings.Replace(leaf, "destination 192.168.0.11", "destination 192.168.0.66", 1) + "\nCOMMIT\n"
				elsewhere, nowhere = []string{firewall + "-restore", "--noflush"}, []string{firewall, "-t", "nat", "-F", "PREROUTING"}
			}
			s.Run(t, script, elsewhere...)
			have, err := m.Read(t.Context())
			require.NoError(t, err)
			assert.NotEqual(t, []network.Guest{g}, have.Guests, "a forward to elsewhere is not the guest's forward")
			want := network.State{Guests: []network.Guest{g}}
			if firewall == network.NFT { // an element is its own record, so it is another forward of the guest's
				assert.Equal(t, "~ forward tcp *:8080 -> 192.168.0.11:80 of "+g.UUID.String()+"\n", network.Diff(have, want).String())
				require.NoError(t, m.Set(t.Context(), g))
			} else {
				assert.Equal(t, "+ forward tcp *:8080 -> 192.168.0.11:80 of "+g.UUID.String()+"\n", network.Diff(have, want).String())
				require.NoError(t, m.Set(t.Context(), guest(2)), "another guest's change puts it right")
				require.NoError(t, m.Remove(t.Context(), guest(2).UUID))
			}
			assert.Equal(t, lines(whole), lines(s.saved(t, firewall)))

			s.Run(t, "", nowhere...)
			have, err = m.Read(t.Context())
			require.NoError(t, err)
			assert.NotEqual(t, []network.Guest{g}, have.Guests, "nothing leads to the forward")
			require.NoError(t, m.Set(t.Context(), g))
			assert.Equal(t, lines(whole), lines(s.saved(t, firewall)), "what leads there is back")
		})
	}
}

// lineWith is the line of text that holds part.
func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
