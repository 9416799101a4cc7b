package network

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func FuzzSave(f *testing.F) {
	f.Add(saved(v4, newBook(newIPTablesRules(), one(), nil).needs.lines()))
	f.Add("*nat\n-A \n-A XH-META \"a\\\n:\n")
	f.Add("*nat\n-A XH-META --comment \"xenhost: forward tcp *:1 -> 1.2.3.4:5 of 7f3a0b1c-0000-4000-8000-000000000001\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		have := lines{}
		parseSave(have, v4, text)
		understood(t, &iptables{iptablesRules: newIPTablesRules()}, have)
		for _, table := range []string{"nat", "filter"} {
			if _, err := restoreScript(v4, table, have, newBook(newIPTablesRules(), one(), nil).needs.lines()); err != nil {
				require.ErrorIs(t, err, ErrForeign)
			}
		}
	})
}

func understood(t *testing.T, b backend, have lines) {
	s := (&Linux{backend: b}).understand(have).book.state()
	require.Equal(t, s, stateOf(linesOf(s)), "what is read is a state")
}

func FuzzTable(f *testing.F) {
	f.Add(listing(v4, newBook(nftRules{}, one(), nil).needs.lines()))
	f.Add("table ip xenhost {\n set at {\n elements = { 1.2.3.4 . tcp . 1-2 comment \"x\" : 1.2.3.4,\n a }\n}\nelements = {")
	f.Add("map port {\nelements = { tcp comment \"\" : , . . comment \"y\" }")
	f.Fuzz(func(t *testing.T, text string) {
		have := lines{}
		for name, elements := range parseTable(text) {
			have[place{family: v4, name: name}] = elements
		}
		have.judge(v4, "0")
		understood(t, &nft{}, have)
	})
}

func FuzzWords(f *testing.F) {
	f.Add("plain", `with "quotes" and \ more`)
	f.Fuzz(func(t *testing.T, a, b string) {
		quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
		got, err := words(quote(a) + " " + quote(b))
		require.NoError(t, err)
		require.Equal(t, []string{a, b}, got)
		_, _ = words(a)
		_ = ruleKey(a)
	})
}

func FuzzParseForward(f *testing.F) {
	f.Add("tcp *:8080 -> 192.168.0.10:80")
	f.Add("udp [2001:db8::1]:10-20 -> [fd00::1]:10 return ingress spread")
	f.Add("all 203.0.113.5 -> 192.168.0.10")
	f.Fuzz(func(t *testing.T, text string) {
		fw, err := ParseForward(text)
		if err != nil {
			require.ErrorIs(t, err, ErrInvalid)
			return
		}
		again, err := ParseForward(fw.String())
		require.NoError(t, err)
		require.Equal(t, fw, again)
	})
}

// many is a state with n forwards, ten for each guest.
func many(n int) State {
	var s State
	for i := range n / 10 {
		id := uuid.UUID{1, 2, byte(i >> 8), byte(i)}
		at := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		g := Guest{UUID: id, Ports: []Port{{Vif: VifName(id, 0), Bridge: "xenint", MAC: MAC{0, 1, 2, 3, byte(i >> 8), byte(i)}, Addresses: []netip.Addr{at}}}}
		for j := range 10 {
			g.Forwards = append(g.Forwards, Forward{Proto: TCP, Port: uint16(10000 + 10*i + j), To: netip.AddrPortFrom(at, uint16(j+1))})
		}
		s.Guests = append(s.Guests, g)
	}
	return s.Normalize()
}

// BenchmarkBook: what all of a host costs, and what one guest of it does.
func BenchmarkBook(b *testing.B) {
	for _, backend := range backends() {
		for _, n := range []int{100, 10000} {
			s := many(n)
			l := &Linux{backend: backend}
			book := newBook(backend, s, nil)
			read := book.needs.lines()
			b.Run(fmt.Sprintf("%T/%d/index", backend, n), func(b *testing.B) {
				for b.Loop() {
					newBook(backend, s, nil)
				}
			})
			b.Run(fmt.Sprintf("%T/%d/understand", backend, n), func(b *testing.B) {
				for b.Loop() {
					require.True(b, l.understand(read).clean)
				}
			})
			b.Run(fmt.Sprintf("%T/%d/one guest", backend, n), func(b *testing.B) {
				g := s.Guests[0]
				for b.Loop() {
					before, _ := book.replace(g.UUID, nil)
					require.NotEmpty(b, before)
					_, after := book.replace(g.UUID, &g)
					require.NotEmpty(b, after)
				}
			})
			b.Run(fmt.Sprintf("%T/%d/nothing changed", backend, n), func(b *testing.B) {
				for b.Loop() {
					require.True(b, Diff(book.state(), s).Empty())
				}
			})
		}
	}
}
