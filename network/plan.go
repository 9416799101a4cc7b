package network

import "strings"

// Plan is what Apply would do, in order. The zero Plan does nothing.
type Plan struct {
	Steps []Step `json:"steps,omitempty"`
}

// Step is one change.
type Step struct {
	Verb string `json:"verb"` // "add", "change" or "remove"
	What string `json:"what"` // as "forward tcp *:8080 -> 192.168.0.10:80 of 7f3a…"
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
