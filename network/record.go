package network

import "strings"

// A record is what our chains of the table nat say.
type record struct {
	state   State           // all that was asked for
	found   map[string]bool // facts that were made by hand before we came
	inForce map[string]bool // facts whose rule is the one that we would write
	whole   bool            // the rules that lead to them are all there
}

// recorded reads the facts in our chains. A forward or masquerade whose rule
// is not the one that we would write for it is not in force, whatever its
// comment says; writing the state again puts it right.
func recorded(nat ruleset) record {
	r := record{found: map[string]bool{}, inForce: map[string]bool{}, whole: true}
	var said []string
	have := map[string]bool{}
	for _, rules := range nat.ours() {
		for _, rule := range rules {
			line, found, ours := rule.fact()
			if !ours {
				continue
			}
			said = append(said, line)
			have[rule.key()] = true
			if found {
				r.found[line] = true
			}
		}
	}
	r.state = stateOf(said)
	facts := map[string]bool{}
	for _, f := range r.state.facts() {
		facts[f.line] = true
	}
	for _, rules := range renderNAT(r.state, r.found) {
		for _, rule := range rules {
			line, _, _ := rule.fact()
			switch {
			case have[rule.key()]:
				r.inForce[line] = true
			case !facts[line]:
				r.whole = false
			}
		}
	}
	return r
}

// reached reports whether packets come to our rules and pass on from there:
// all anchors are in place, and all that the table filter needs.
func (o observed) reached() bool {
	filter := renderFilter(o.record.state)
	for _, a := range anchors() {
		_, used := o.table(a.table)[a.to]
		if a.table == "filter" {
			_, used = filter[a.to]
		}
		if used && !a.in(o.table(a.table)) {
			return false
		}
	}
	have := map[string]bool{}
	for _, r := range o.filter[fwdChain] {
		have[r.key()] = true
	}
	for _, r := range filter[fwdChain] {
		if !have[r.key()] {
			return false
		}
	}
	return o.whole
}

// inPlace is the part of the recorded state that is in force.
func (r record) inPlace(reached bool) State {
	var kept []string
	for _, f := range r.state.facts() {
		word, _, _ := strings.Cut(f.line, " ")
		if r.inForce[f.line] && (reached || word != "forward" && word != "masquerade") {
			kept = append(kept, f.line)
		}
	}
	return stateOf(kept)
}
