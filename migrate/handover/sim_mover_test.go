package handover_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// live is the order of migrate's live move.
func (w *sim) live() error {
	ctx, p := context.Background(), handover.Pair{Source: w.side(0), Target: w.side(1)}
	from, to := w.hosts[0], w.hosts[1]
	s, t, move := from.rec, to.rec, uuid.New()
	do := func(f func()) error { return w.effect(func() error { f(); return nil }) }
	put := func(name handover.Name, side handover.Side, r *owner.Record, state owner.State) func() error {
		return func() error {
			next := *r
			next.State = state
			return p.Put(ctx, name, side, r, next)
		}
	}
	commit := put(handover.Commit, p.Target, &t, owner.Committed)
	giveUp := func() error { return p.GiveUp(ctx, &s, &t) }
	letGo := func() error {
		return do(func() { from.title = "web1" + xen.AwaySuffix })
	}
	steps := []func() error{
		func() error {
			return p.Put(ctx, handover.Prepare, p.Source, &s, owner.Record{UUID: id, State: owner.Prepared, Epoch: s.Epoch, Peer: "islay", Move: move, Live: true})
		},
		func() error {
			return p.Put(ctx, handover.Offer, p.Target, &t, owner.Record{UUID: id, State: owner.Receiving, Epoch: s.Epoch + 1, Peer: "curacao", Move: move, Live: true})
		},
		func() error { _, err := p.Target.Receive(ctx, simGuest, t.Epoch); return err },
		func() error { return do(func() { to.disk = from.disk }) },
		func() error {
			return do(func() {
				from.half, to.half = true, true
				from.domain, to.domain, to.title = xen.Suspended, xen.Paused, "web1"+xen.IncomingSuffix
			})
		},
		func() error { return do(func() { to.disk = from.disk }) },
		put(handover.Ready, p.Target, &t, owner.Ready),
		giveUp,
		letGo,
		commit,
		func() error { return do(func() { to.domain, to.title = xen.Running, "web1" }) },
		func() error { return do(func() { from.domain, from.half, to.half = "", false, false }) },
		func() error { return p.Forward(ctx, &s, &t, false) },
	}
	if w.mutant == "commit before go" {
		steps[8], steps[9] = commit, letGo
	}
	if w.mutant == "report forwarded" { // the target could not, and the source hears it
		steps[10] = func() error { return do(func() { to.domain = "" }) }
		steps[11] = func() error { return do(func() { from.domain, from.title = xen.Running, "web1" }) }
	}
	for _, step := range steps {
		if err := step(); err != nil {
			w.hangUp()
			return w.resume()
		}
	}
	return nil
}

// resume ends what is open, by what is seen.
func (w *sim) resume() error {
	ctx, sides := context.Background(), [2]handover.Side{w.side(0), w.side(1)}
	for range 4 {
		a, _ := sides[0].Observe(ctx)
		b, _ := sides[1].Observe(ctx)
		v, err := handover.Decide(a, b)
		if err != nil {
			return err
		}
		seen := [2]handover.Seen{a, b}
		s, t := seen[v.Source].Record, seen[1-v.Source].Record
		p := handover.Pair{Source: sides[v.Source], Target: sides[1-v.Source]}
		if w.mutant == "done list" && v.Way == handover.Retract {
			v.Way = handover.Forward // the list says that the last delta was sent
		}
		switch v.Way {
		case handover.Forward:
			err = p.Forward(ctx, &s, &t, false)
		case handover.Back:
			err = p.Back(ctx, &s, &t, false)
		case handover.Retract:
			err = p.Retract(ctx, &s, &t, false)
		case handover.Lift:
			err = p.Lift(ctx, &s, &t, false)
		case handover.Yield: // no crash leads there, an override does
			if t.Override == (owner.Override{}) {
				return errors.New("two owners")
			}
			err = p.Yield(ctx, &s, &t, false)
		case handover.Nothing:
			if s.State == owner.Running && seen[v.Source].Domain == nil {
				err = p.Back(ctx, &s, &t, false)
			}
			return err
		default:
			return fmt.Errorf("way %s", v.Way)
		}
		if err != nil {
			return err
		}
	}
	return errors.New("it does not come to an end")
}

// run calls f as a mover that may die.
func (w *sim) run(f func() error, at int, how string, why plight) (reached, died bool, err error) {
	w.effects, w.at, w.how, w.why = 0, at, how, why
	defer func() {
		reached = died || at >= 0 && w.effects > at
		if r := recover(); r != nil {
			if r != any(errDead) {
				panic(r)
			}
			reached, died = true, true
		}
		w.at, w.why = -1, plight{}
	}()
	return false, false, f()
}
