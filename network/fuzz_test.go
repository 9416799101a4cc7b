package network

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func FuzzSave(f *testing.F) {
	f.Add(printed("nat", renderNAT(State{
		Masquerades: []Masquerade{{netip.MustParsePrefix("10.0.0.0/8"), "eth0"}},
		Guests:      []Guest{{UUID: uuid.UUID{1}, Forwards: []Forward{{Proto: TCP, Port: 80, To: netip.MustParseAddrPort("10.0.0.1:80")}}}},
	}, nil)))
	f.Add("*nat\n-A \n-A XH-META \"a\\\n:\n")
	f.Add("*nat\n-A XH-META --comment \"xenhost: forward tcp *:1 -> 1.2.3.4:5 of 7f3a0b1c-0000-4000-8000-000000000001\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		read, err := parseSave(text)
		if err != nil {
			return
		}
		r := recorded(read["nat"])
		require.Equal(t, r.state, stateOf(linesOf(r.state)), "what is read is a state")
		_, err = script("nat", read["nat"].ours(), renderNAT(r.state, r.found))
		if err != nil {
			require.ErrorIs(t, err, ErrForeign)
		}
	})
}

func FuzzWords(f *testing.F) {
	f.Add("plain", `with "quotes" and \ more`)
	f.Fuzz(func(t *testing.T, a, b string) {
		got, err := words(quote(a) + " " + quote(b))
		require.NoError(t, err)
		require.Equal(t, []string{a, b}, got)
	})
}

func BenchmarkDiff(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n, " forwards"), func(b *testing.B) {
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
			s = s.Normalize()
			text := printed("nat", renderNAT(s, nil))
			next := s.Without(s.Guests[0].UUID)
			b.ResetTimer()
			for b.Loop() {
				read, err := parseSave(text)
				require.NoError(b, err)
				out, err := script("nat", read["nat"].ours(), renderNAT(next, nil))
				require.NoError(b, err)
				require.NotEmpty(b, out)
				require.Len(b, Diff(recorded(read["nat"]).state, next).Steps, 13)
			}
		})
	}
}
