package shaping

import "strings"

// Plan is what Apply would do, in order. The zero Plan does nothing.
type Plan struct {
	Steps []Step `json:"steps,omitempty"`
}

// Step is one change.
type Step struct {
	Verb string `json:"verb"` // "add", "change" or "remove"
	What string `json:"what"` // as "guest 7f3a… on x7f3a0000.0: download 100mbit"
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// String prints a line a step: "+ ", "~ " or "- " and what it is about.
func (p Plan) String() string {
	var b strings.Builder
	sign := map[string]string{"add": "+ ", "change": "~ ", "remove": "- "}
	for _, s := range p.Steps {
		b.WriteString(sign[s.Verb] + s.What + "\n")
	}
	return b.String()
}

// Diff plans how a host that is as have becomes as want. It is pure:
// Diff(x, x) is empty, and doing every step of Diff(have, want) gives want.
// Guests go before, and come after, the uplink that they need.
func Diff(have, want State) Plan {
	have, want = have.Normalize(), want.Normalize()
	var plan Plan
	step := func(verb, what string) { plan.Steps = append(plan.Steps, Step{Verb: verb, What: what}) }
	for _, g := range have.Guests {
		if _, stays := want.Guest(g.UUID); !stays {
			step("remove", g.String())
		}
	}
	switch {
	case have.Uplink == want.Uplink:
	case want.Uplink == Uplink{}:
		step("remove", have.Uplink.String())
	case have.Uplink == Uplink{}:
		step("add", want.Uplink.String())
	default:
		step("change", want.Uplink.String())
	}
	old := make(map[string]string, len(have.Guests))
	for _, g := range have.Guests {
		old[g.UUID.String()] = g.String()
	}
	for _, g := range want.Guests {
		line, was := g.String(), old[g.UUID.String()]
		switch was {
		case line:
		case "":
			step("add", line)
		default:
			step("change", line)
		}
	}
	return plan
}
