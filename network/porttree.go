package network

import (
	"fmt"
	"strconv"
)

// A tree spreads rules over chains by the port that was asked for, so that a
// new connection passes at most 64 + 16 + 64 of them for each protocol,
// whatever their number is: the root has one jump for each 1,024 ports in use
// (XH-P10-9), that one for each 64 (XH-P6-9c), and there the rules are. A range
// of ports hangs where it fits: few are so long that the root is the place.
type tree struct {
	rules   iptablesRules
	family  family
	root    string
	letter  string // in the names of the tree's chains
	forward Forward
	match   string // what matches a range of ports, up to the numbers
}

// leaf is a rule for the forward's ports, with the jumps that lead to it.
// listening comes before the match of the ports.
func (t tree) leaf(comment, listening, target string) []need {
	return t.leafAs(comment, listening+t.match+portRange(t.forward.Port, t.forward.last()), target)
}

func (t tree) leafAs(comment, matches, target string) []need {
	from, to := t.forward.Port, t.forward.last()
	chain := t.root
	needs := make([]need, 0, 3)
	for _, bits := range []int{10, 6} {
		if from>>bits != to>>bits {
			break
		}
		next := chainPrefix + t.letter + strconv.Itoa(bits) + "-" + strconv.FormatUint(uint64(from>>bits), 16)
		needs = append(needs, t.rules.once(string(t.family)+string(t.forward.Proto)+next, func() []need {
			low := from >> bits << bits
			high := low | (1<<bits - 1)
			return []need{rule(t.family, "nat", chain, fmt.Sprintf("%s ports %d to %d", t.forward.Proto, low, high),
				t.match+portRange(low, high), next)}
		})...)
		chain = next
	}
	return append(needs, rule(t.family, "nat", chain, comment, matches, target))
}
