package shaping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// What a plan prints is also the note by which the kernel keeps it for us, as
// the comment of a map element or a rule:
//
//	uplink eth0 rate 950mbit dom0 95mbit
//	guest 7f3a… on x7f3a0000.0: download 100mbit upload 50mbit throttle 1mbit
//
// A guest's note leaves out the vifs: it stands beside each of them.

// String reads as "uplink eth0 rate 950mbit dom0 95mbit".
func (u Uplink) String() string {
	return fmt.Sprintf("uplink %s rate %v dom0 %v", u.Dev, u.Rate, u.Dom0)
}

// String reads as "guest 7f3a… on x7f3a0000.0: download 100mbit upload 50mbit".
func (g Guest) String() string {
	return fmt.Sprintf("guest %v on %s: %s", g.UUID, strings.Join(g.Vifs, ","), g.terms())
}

// terms are policy and throttle.
func (g Guest) terms() string {
	return strings.TrimSuffix(g.Policy.String()+" "+g.Throttle.String(), " ")
}

// note is what stands beside each vif of the guest.
func (g Guest) note() string { return "guest " + g.UUID.String() + ": " + g.terms() }

// parseUplink reads what Uplink.String prints.
func parseUplink(text string) (Uplink, bool) {
	w := strings.Split(text, " ")
	if len(w) != 6 || w[0] != "uplink" || w[2] != "rate" || w[4] != "dom0" || validName(w[1]) != nil {
		return Uplink{}, false
	}
	rate, err := ParseRate(w[3])
	dom0, err2 := ParseRate(w[5])
	return Uplink{Dev: w[1], Rate: rate, Dom0: dom0}, err == nil && err2 == nil
}

// parseNote reads what note gives.
func parseNote(text string) (Guest, bool) {
	head, terms, ok := strings.Cut(text, ": ")
	id, ok2 := strings.CutPrefix(head, "guest ")
	parsed, err := uuid.Parse(id)
	if !ok || !ok2 || err != nil || parsed.String() != id {
		return Guest{}, false
	}
	words := strings.Split(terms, " ")
	cut := len(words)
	if i := slices.Index(words, "throttle"); i >= 0 {
		cut = i
	}
	g := Guest{UUID: parsed}
	if g.Policy, err = parsePolicy(words[:cut]); err != nil {
		return Guest{}, false
	}
	if g.Throttle, err = parseThrottle(words[cut:]); err != nil {
		return Guest{}, false
	}
	return g.Normalize(), true
}
