package events

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// memory is how long the end of a domain is remembered, so that the next one
// of the same UUID is known to be the same guest. xl's own restart takes two
// seconds and the start.
const memory = 10 * time.Minute

// key is a domain; a domid alone can be used again after a minute.
type key struct {
	id    uuid.UUID
	domid int
}

// tracker turns lists into events. The zero value has seen nothing.
type tracker struct {
	begun bool
	there map[key]xen.Domain
	left  map[uuid.UUID]end
}

// end is how the last domain of a UUID ended.
type end struct {
	domid  int
	reason xen.Reason
	at     time.Time
}

// update returns what happened since the last list: first who is gone, then
// who is new or has changed, by domid.
func (t *tracker) update(list []xen.Domain, now time.Time) []Event {
	if t.left == nil {
		t.left = make(map[uuid.UUID]end)
	}
	maps.DeleteFunc(t.left, func(_ uuid.UUID, e end) bool { return now.Sub(e.at) > memory })
	next := make(map[key]xen.Domain, len(list))
	for _, d := range list {
		next[key{d.UUID, d.ID}] = d
	}
	var events []Event
	for k, d := range t.there {
		if _, ok := next[k]; !ok {
			t.left[d.UUID] = end{d.ID, d.Reason, now}
			events = append(events, Event{Kind: Gone, Domain: d, Reason: d.Reason})
		}
	}
	slices.SortFunc(events, func(a, b Event) int { return a.Domain.ID - b.Domain.ID })
	for _, d := range list {
		before, known := t.there[key{d.UUID, d.ID}]
		if !known {
			events = append(events, t.begin(d, list))
		}
		if isDown(d) && !isDown(before) {
			events = append(events, Event{Kind: downKind(d), Domain: d, Reason: d.Reason})
		}
		if d.State == xen.Dying && d.Reason == "" { // Xen keeps it, and we do so in any case
			d.Reason = before.Reason
			next[key{d.UUID, d.ID}] = d
		}
	}
	t.there, t.begun = next, true
	return events
}

// begin is the first event of a domain.
func (t *tracker) begin(d xen.Domain, list []xen.Domain) Event {
	e := Event{Kind: Created, Domain: d}
	if !t.begun {
		e.Kind = Found
		return e
	}
	last, ok := t.left[d.UUID]
	for _, other := range list { // one that is still on its way out
		if other.UUID == d.UUID && other.ID != d.ID {
			last, ok = end{domid: other.ID, reason: other.Reason}, true
		}
	}
	if !ok {
		return e
	}
	e.Was = last.domid
	if last.reason != "" && last.reason != xen.Poweroff && last.reason != xen.Suspend {
		e.Kind, e.Reason = Rebooted, last.reason
	}
	return e
}

// isDown tells that a domain has shut down by itself. A suspended one has not:
// it is being saved or moved.
func isDown(d xen.Domain) bool { return d.State == xen.Stopped || d.State == xen.Crashed }

func downKind(d xen.Domain) Kind {
	if d.State == xen.Crashed {
		return Crashed
	}
	return Down
}
