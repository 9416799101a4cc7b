package shapingtest

import (
	"math/rand/v2"
	"testing"

	"github.com/xenhost/xenhost/shaping"
)

// walk goes from one host to another at random, always the same way: each plan
// leads from what there is to what is wanted, and nothing is left to do.
func (s suite) walk(t *testing.T) {
	dice := rand.New(rand.NewPCG(8, 8)) // #nosec G404: it is to be the same each time
	rates := []shaping.Rate{0, 64 * shaping.Kbit, shaping.Mbit, 100 * shaping.Mbit}
	rate := func() shaping.Rate { return rates[dice.IntN(len(rates))] }
	for n := range byte(4) { // of vifs that are there and some that are not
		s.Plug(t, absent(n).Vifs[0])
	}
	for range 12 {
		var want shaping.State
		if dice.IntN(4) > 0 {
			want.Uplink = shaping.Uplink{Dev: s.Uplinks[dice.IntN(2)], Rate: 10 * shaping.Gbit, Dom0: rate()}
		}
		for n := range byte(6) {
			if dice.IntN(3) == 0 {
				continue
			}
			g := absent(n)
			if dice.IntN(2) == 0 {
				g.Vifs = append(g.Vifs, absent(n+10).Vifs...)
			}
			g.Policy = shaping.Policy{Download: rate(), Send: rate(), Priority: dice.IntN(8), Weight: dice.IntN(3)}
			if want.Uplink != (shaping.Uplink{}) {
				g.Policy.Upload = rate()
			}
			if dice.IntN(3) == 0 {
				g.Throttle = shaping.Throttle{Rate: 64 * shaping.Kbit}
			}
			want.Guests = append(want.Guests, g)
		}
		s.makes(t, want)
	}
}
