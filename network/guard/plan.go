package guard

import (
	"fmt"
	"slices"

	"github.com/xenhost/xenhost/network"
)

// Plan tells how a guard that is as have becomes as want. It is pure:
// Plan(x, x) is empty. What goes is named first, from the last to the first.
//
//	add guard's rules
//	add port x7f3a0b1c.0 of 7f3a…
//	add mac 00:16:3e:00:00:01 on x7f3a0b1c.0
//	remove address 192.168.0.10 on x7f3a0b1c.0
func Plan(have, want State) network.Plan {
	old, wanted := have.Normalize().lines(), want.Normalize().lines()
	var plan network.Plan
	stays := setOf(wanted)
	for _, line := range slices.Backward(old) {
		if !stays[line] {
			plan.Steps = append(plan.Steps, network.Step{Verb: "remove", What: line})
		}
	}
	had := setOf(old)
	for _, line := range wanted {
		if !had[line] {
			plan.Steps = append(plan.Steps, network.Step{Verb: "add", What: line})
		}
	}
	return plan
}

// lines says a normalised state in sentences, the ground first.
func (s State) lines() []string {
	if s.Open {
		return nil
	}
	out := []string{"guard's rules"}
	if s.LetUnknown {
		out = append(out, "passage for unknown vifs")
	}
	for _, g := range s.Guests {
		for _, p := range g.Ports {
			what := "port"
			if p.Routed {
				what = "routed port"
			}
			out = append(out, fmt.Sprintf("%s %s of %v", what, p.Vif, g.UUID), fmt.Sprintf("mac %v on %s", p.MAC, p.Vif))
			for _, a := range p.Addresses {
				out = append(out, fmt.Sprintf("address %v on %s", a, p.Vif))
			}
			for _, n := range p.Networks {
				out = append(out, fmt.Sprintf("network %v on %s", n, p.Vif))
			}
		}
	}
	return out
}

func setOf[T comparable](list []T) map[T]bool {
	set := make(map[T]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set
}
