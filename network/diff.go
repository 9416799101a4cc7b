package network

import "slices"

// Diff plans how a host that is as have becomes as want. It is pure:
// Diff(x, x) is empty, and doing every step of Diff(have, want) gives want.
// What goes is taken away first, from the top down; then come changes and
// additions from the ground up.
func Diff(have, want State) Plan {
	old, wanted := have.Normalize().facts(), want.Normalize().facts()
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
