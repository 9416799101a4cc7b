package network_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"testing"

	"github.com/coreos/go-iptables/iptables"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
)

// thousand is n forwards of guest 1, spread over ports and protocols.
func thousand(n int) []network.Forward {
	var out []network.Forward
	for i := range n {
		f := forward(network.TCP, uint16(1024+61*i), 1, 80)
		if i%2 == 1 {
			f = forward(network.UDP, uint16(1024+61*i), 1, 53)
		}
		out = append(out, f)
	}
	return out
}

// TestThousandForwards: any number of forwards is one restore for each table,
// one more forward is one restore, and nothing new is none.
func TestThousandForwards(t *testing.T) {
	needNamespaces(t)
	for _, firewall := range firewalls() {
		t.Run(firewall, func(t *testing.T) {
			s := newStreet(t, firewall, false)
			counter := &meddler{}
			m := network.New(&network.Options{NetNS: s.curacao.Path(), Firewall: firewall, LockDir: t.TempDir(), Runner: counter})
			g := guest(1, thousand(1000)...)
			s.boot(t, s.web1, g, "web1")
			require.NoError(t, m.Set(t.Context(), g))
			all := map[string][]string{"nft": {"", ""}}[firewall] // the second keeps the hash of the chains
			if all == nil {
				all = []string{"filter", "nat"}
			}
			assert.Equal(t, all, counter.writes)
			for _, i := range []int{0, 1, 17, 500, 503, 777, 998, 999} {
				f := g.Forwards[i]
				s.internet.answers(t, string(f.Proto), fmt.Sprintf("203.0.113.1:%d", f.Port), "web1 saw 203.0.113.254")
			}

			counter.forget()
			g.Forwards = append(g.Forwards, forward(network.TCP, 1025, 1, 80))
			require.NoError(t, m.Set(t.Context(), g))
			assert.Equal(t, all[1:], counter.writes)
			assert.Equal(t, wholeReads(firewall, 2), counter.reads, "before and after, if the kernel does not tell otherwise")
			s.internet.answers(t, "tcp", "203.0.113.1:1025", "web1 saw 203.0.113.254")

			counter.forget()
			require.NoError(t, m.Set(t.Context(), g))
			assert.Empty(t, counter.writes)
			assert.Equal(t, wholeReads(firewall, 2), counter.reads)
			require.NoError(t, m.Remove(t.Context(), g.UUID))
			_, err := s.internet.ask(t, "tcp", "203.0.113.1:1025")
			require.ErrorContains(t, err, "refused")
		})
	}
}

// wholeReads is how often all rules are listed: where nf_tables counts changes, never.
func wholeReads(firewall string, n int) int {
	if firewall == network.IPTablesLegacy {
		return n
	}
	return 0
}

// BenchmarkLoad compares 1,000 forwards by Set with a loop of go-iptables'
// AppendUnique, which is run for 50 only, into a flat chain. ns/forward is the
// figure to compare.
func BenchmarkLoad(b *testing.B) {
	needNamespaces(b)
	for _, variant := range variants() {
		s := newSpace(b)
		s.IP(b, "link add xenint type bridge")
		m := s.manager(b, variant)
		b.Run(variant+"/1000 by Set", func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, m.Set(b.Context(), guest(1, thousand(1000)...)))
				b.StopTimer()
				require.NoError(b, m.Remove(b.Context(), guest(1).UUID))
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/forward")
		})
		b.Run(variant+"/one more at 1000", func(b *testing.B) {
			require.NoError(b, m.Set(b.Context(), guest(1, thousand(1000)...)))
			for b.Loop() {
				require.NoError(b, m.Set(b.Context(), guest(2, forward(network.TCP, 1025, 2, 80))))
				b.StopTimer()
				require.NoError(b, m.Remove(b.Context(), guest(2).UUID))
				b.StartTimer()
			}
			require.NoError(b, m.Remove(b.Context(), guest(1).UUID))
		})
		b.Run(variant+"/50 by AppendUnique", func(b *testing.B) {
			path, err := exec.LookPath(variant)
			require.NoError(b, err)
			s.Run(b, "*nat\n:FLAT - [0:0]\nCOMMIT\n", variant+"-restore", "--noflush")
			for b.Loop() {
				s.Inside(b, func() error {
					ipt, err := iptables.New(iptables.Path(path), iptables.Timeout(5))
					if err != nil {
						return err
					}
					for _, f := range thousand(50) {
						err := ipt.AppendUnique("nat", "FLAT", "-p", string(f.Proto), "--dport", fmt.Sprint(f.Port),
							"-j", "DNAT", "--to-destination", netip.AddrPort(f.To).String())
						if err != nil {
							return err
						}
					}
					return nil
				})
				b.StopTimer()
				s.Run(b, "", variant, "-t", "nat", "-F", "FLAT")
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/50, "ns/forward")
		})
	}
}
