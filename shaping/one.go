package shaping

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// Set implements Manager. The guest's vifs need not exist yet; one that comes
// into being later is limited by the next Set or Refresh (see Keep).
func (l *Linux) Set(ctx context.Context, want Guest) error {
	asked, _ := State{Guests: []Guest{want}}.Until(l.now())
	if err := l.do(ctx, func(k *kernel) error { return l.replace(k, want.UUID, asked.Guests) }); err != nil {
		return &Error{Op: "set", Name: want.UUID.String(), Err: err}
	}
	return nil
}

// Remove implements Manager.
func (l *Linux) Remove(ctx context.Context, id uuid.UUID) error {
	if err := l.do(ctx, func(k *kernel) error { return l.replace(k, id, nil) }); err != nil {
		return &Error{Op: "remove", Name: id.String(), Err: err}
	}
	return nil
}

// replace makes one guest's part as want says, which is one guest or none. It
// looks at nothing that is not this guest's, so it costs the same among a
// thousand others.
func (l *Linux) replace(k *kernel, id uuid.UUID, want []Guest) error {
	was, err := k.recall()
	if err != nil {
		return err
	}
	mine := func(other uuid.UUID) bool { return other == id }
	old, had := was.noted.Guest(id)
	if !had && len(want) == 0 {
		return nil
	}
	next := was.noted.replaced(id, want)
	vifs := slices.Clone(old.Vifs)
	for _, g := range want {
		vifs = append(vifs, g.Vifs...)
	}
	slices.Sort(vifs)
	vifs = slices.Compact(vifs)
	if err := next.validate(want); err != nil {
		return err
	}
	seen, err := k.glance(was, was.classOf(old), vifs)
	if err != nil {
		return err
	}
	if len(want) > 0 && !seen.uplinkStands() {
		return fmt.Errorf("%v: somebody changed its queue; apply the whole state again", was.noted.Uplink)
	}
	j, err := seen.plan(next, mine, false)
	if err != nil || j.empty() {
		return err
	}
	l.say(seen.lacks(id, want))
	j, err = k.prepared(j, func() (*job, error) {
		if seen, err = k.glance(was, was.classOf(old), vifs); err != nil {
			return nil, err
		}
		return seen.plan(next, mine, false)
	})
	if err != nil {
		return err
	}
	if err := l.carryOut(k, j); err != nil {
		return err
	}
	is, err := k.recallOne(was, id, vifs)
	if err != nil {
		return err
	}
	now, _ := is.noted.Guest(id)
	if seen, err = k.glance(is, is.classOf(now), vifs); err != nil {
		return err
	}
	return differs(seen.lacks(id, want))
}

// lacks is what is not yet as wanted of one guest.
func (o observed) lacks(id uuid.UUID, want []Guest) Plan {
	var have State
	if g, ok := o.noted.Guest(id); ok {
		have.Guests = []Guest{o.actualGuest(g)}
	}
	return Diff(have, State{Guests: want})
}
