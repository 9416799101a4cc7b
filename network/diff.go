package network

import (
	"bytes"
	"slices"
)

// Diff plans how a host that is as have becomes as want. It is pure:
// Diff(x, x) is empty, and doing every step of Diff(have, want) gives want.
// What goes is taken away first, from the top down; then come changes and
// additions from the ground up.
func Diff(have, want State) Plan {
	have, want = have.Normalize(), want.Normalize()
	have.Guests, want.Guests = differing(have.Guests, want.Guests)
	old, wanted := have.facts(), want.facts()
	lines, keys := map[string]bool{}, map[string]bool{}
	for _, f := range wanted {
		lines[f.line], keys[f.key] = true, true
	}
	var plan Plan
	for _, f := range slices.Backward(old) {
		if !keys[f.key] {
			plan.Steps = append(plan.Steps, Step{Verb: "remove", What: f.line})
		}
	}
	had, hadKeys := map[string]bool{}, map[string]bool{}
	for _, f := range old {
		had[f.line], hadKeys[f.key] = true, true
	}
	for _, f := range wanted {
		switch {
		case had[f.line]:
		case hadKeys[f.key]:
			plan.Steps = append(plan.Steps, Step{Verb: "change", What: f.line})
		default:
			plan.Steps = append(plan.Steps, Step{Verb: "add", What: f.line})
		}
	}
	return plan
}

// differing leaves out of both lists, which are ordered, the guests that are
// the same in both: on a host with many, a change is about few.
func differing(have, want []Guest) (h, w []Guest) {
	for len(have) > 0 && len(want) > 0 {
		switch order := bytes.Compare(have[0].UUID[:], want[0].UUID[:]); {
		case order < 0:
			h, have = append(h, have[0]), have[1:]
		case order > 0:
			w, want = append(w, want[0]), want[1:]
		default:
			if !have[0].equal(want[0]) {
				h, w = append(h, have[0]), append(w, want[0])
			}
			have, want = have[1:], want[1:]
		}
	}
	return append(h, have...), append(w, want...)
}
