package network

// A record is what our chains of the table nat say.
type record struct {
	state   State           // all that was asked for
	found   map[string]bool // facts that were made by hand before we came
	inForce map[string]bool // facts whose rule is the one that we would write
}

// recorded reads the facts in our chains. A forward or masquerade whose rule
// is not the one that we would write for it is not in force, whatever its
// comment says; writing the state again puts it right.
func recorded(nat ruleset) record {
	r := record{found: map[string]bool{}, inForce: map[string]bool{}}
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
	for _, rules := range renderNAT(r.state, r.found) {
		for _, rule := range rules {
			if line, _, _ := rule.fact(); have[rule.key()] {
				r.inForce[line] = true
			}
		}
	}
	return r
}

// inPlace is the part of the recorded state that is in force.
func (r record) inPlace() State {
	var kept []string
	for _, f := range r.state.facts() {
		if r.inForce[f.line] {
			kept = append(kept, f.line)
		}
	}
	return stateOf(kept)
}
