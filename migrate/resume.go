package migrate

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Resume ends an interrupted move of a guest between two hosts, given in any
// order, from wherever it is called. It knows nothing of what the mover did:
// the records, domains and volumes that both hosts show decide, see
// handover.Decide. It can be called again after any failure of its own, and
// when there is nothing to do it says so (Report.Way is Nothing).
//
// host.ErrBusy: the mover lives and holds the guest. ErrConflict: a person
// has to look. fs.ErrNotExist: neither host knows the guest.
func Resume(ctx context.Context, a, b Host, guest uuid.UUID, opts *Options) (Report, error) {
	began := time.Now()
	r := &resume{report: Report{UUID: guest, Way: handover.Nothing}}
	if opts != nil {
		r.opts = *opts
	}
	err := r.run(ctx, a, b)
	r.report.Duration = time.Since(began)
	if err != nil {
		return r.report, &Error{Op: "resume", Name: guest.String(), Err: err}
	}
	return r.report, nil
}

type resume struct {
	opts   Options
	report Report
}

func (r *resume) run(ctx context.Context, a, b Host) error {
	for _, h := range []Host{a, b} {
		if h, ok := h.(*host.Host); ok { // a far one did it when its Serve began
			if _, err := h.Refence(ctx); err != nil {
				return fmt.Errorf("fence again what %s handed away: %w", h.Name(), err)
			}
		}
	}
	ctx, grip, err := grasp(ctx, r.opts.Locker, r.report.UUID)
	if err != nil {
		return err
	}
	return grip.let(ctx, r.both(ctx, a, b, grip))
}

// both holds the guest on the two hosts.
func (r *resume) both(ctx context.Context, a, b Host, grip *grip) error {
	held, err := openPair(ctx, a, b, r.report.UUID)
	if err != nil {
		return err
	}
	defer closePair(held)
	if err := grip.claim(ctx, held); err != nil {
		return err
	}
	return r.settle(ctx, [2]handover.Side{held.Source, held.Target})
}

// settle ends whatever the two sides show.
func (r *resume) settle(ctx context.Context, sides [2]handover.Side) (err error) {
	// One way can leave another open (a yield leads to forward), never a third.
	for range 3 {
		var seen [2]handover.Seen
		for i, side := range sides {
			if seen[i], err = side.Observe(ctx); err != nil {
				return fmt.Errorf("look at %s: %w", side.Host(), err)
			}
		}
		v, err := handover.Decide(seen[0], seen[1])
		if err != nil {
			return err
		}
		done, err := r.end(ctx, v, sides, seen)
		if err != nil || done {
			return err
		}
	}
	return fmt.Errorf("%w: it does not come to an end", ErrConflict)
}

// end does what the verdict says; done is that nothing more is open.
func (r *resume) end(ctx context.Context, v handover.Verdict, sides [2]handover.Side, seen [2]handover.Seen) (done bool, err error) {
	s, t := seen[v.Source], seen[1-v.Source]
	p := handover.Pair{Source: sides[v.Source], Target: sides[1-v.Source], Before: r.before}
	if r.report.Why == "" || v.Way != handover.Nothing {
		r.report.Why, r.report.From, r.report.To = v.Why, s.Host, t.Host
		r.report.Move = s.Record.Move
	}
	off, name := false, ""
	for _, x := range []handover.Seen{s, t} {
		if x.Guest != nil {
			off, name = x.Guest.Off, x.Guest.Name
		}
	}
	r.report.Name = name
	switch v.Way {
	case handover.Forward:
		if s.Record.State == owner.Fenced && !s.Record.Live { // nothing may be in use here any more
			if err := p.Do(handover.Fence, p.Source, "", func() error { return p.Source.Fence(ctx, s.Record.Epoch) }); err != nil {
				return false, err
			}
		}
		err = p.Forward(ctx, &s.Record, &t.Record, off)
	case handover.Yield:
		err = p.Yield(ctx, &s.Record, &t.Record, off)
	case handover.Back:
		err = p.Back(ctx, &s.Record, &t.Record, off)
	case handover.Retract:
		err = p.Retract(ctx, &s.Record, &t.Record, off)
	case handover.Lift:
		err = p.Lift(ctx, &s.Record, &t.Record, off)
	case handover.Nothing:
		if s.Record.State == owner.Running {
			r.report.Owner = s.Host
			if s.Domain == nil && !off { // killed between the record and the start
				err = p.Back(ctx, &s.Record, &t.Record, off)
				if r.report.Way == handover.Nothing {
					r.report.Way = handover.Back
				}
			}
		}
		return true, err
	}
	if err == nil {
		r.report.Way = v.Way
	}
	return false, err
}

func (r *resume) before(s handover.Step) error {
	if r.opts.Progress != nil {
		r.opts.Progress(Event{Step: s})
	}
	if r.opts.OnStep != nil {
		if err := r.opts.OnStep(s); err != nil {
			return fmt.Errorf("before %s: %w", s, err)
		}
	}
	return nil
}
