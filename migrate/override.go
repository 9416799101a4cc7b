package migrate

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// ErrOverride: an operator's word does not fit the guest; see owner.ErrOverride.
var ErrOverride = owner.ErrOverride

// OverridePlan is how a move would end on one host alone, because an operator
// vouches for it that the other host runs nothing. It is data: print it, Run
// it, or drop it.
type OverridePlan struct {
	UUID     uuid.UUID      `json:"uuid"`
	Name     string         `json:"name"`
	Host     string         `json:"host"` // that is left
	State    owner.State    `json:"state"`
	Override owner.Override `json:"override"`
	Way      handover.Way   `json:"way"`
	Why      string         `json:"why"` // and what it may cost

	on   Host
	opts Options
}

// PlanOverride looks at a move that can not be resumed, since its other host is
// dead for ever, and says how it would end here; it changes nothing. What
// nobody can see from here an operator vouches for by name: that the other host
// is off, or destroyed, and that the guest runs nowhere else.
//
// If it is not true, two copies run until Resume, or the other host's next
// boot with peers (host.Config.Peers), ends the one with the older epoch, which
// is the other host's.
//
// ErrOverride: no move with that host is open here. host.ErrBusy: the mover
// lives.
func PlanOverride(ctx context.Context, on Host, guest uuid.UUID, o owner.Override, opts *Options) (*OverridePlan, error) {
	p := &OverridePlan{UUID: guest, Override: o, on: on}
	if opts != nil {
		p.opts = *opts
	}
	side, _, err := p.look(ctx)
	if err != nil {
		return nil, &Error{Op: "plan override of", Name: guest.String(), Err: err}
	}
	return p, side.Close()
}

// look holds the guest and fills in what it shows.
func (p *OverridePlan) look(ctx context.Context) (handover.Side, handover.Seen, error) {
	side, err := open(ctx, p.on, p.UUID)
	if err != nil {
		return nil, handover.Seen{}, err
	}
	seen, err := side.Observe(ctx)
	if err == nil {
		p.Host, p.State, p.Name = seen.Host, seen.Record.State, p.UUID.String()
		if seen.Guest != nil {
			p.Name = seen.Guest.Name
		}
		p.Way, p.Why, err = handover.Overrule(seen, p.Override)
	}
	if err != nil {
		side.Close()
		return nil, seen, err
	}
	return side, seen, nil
}

// Run ends the move. It looks again first: if the guest would now end another
// way than the plan says, nothing is done. The word of the operator is in the
// owner record from then on, and in the host's log. After a failure it can be
// repeated.
func (p *OverridePlan) Run(ctx context.Context) (Report, error) {
	began := time.Now()
	report := Report{UUID: p.UUID, Name: p.Name, Way: handover.Nothing}
	err := p.run(ctx, &report)
	report.Duration = time.Since(began)
	if err != nil {
		err = &Error{Op: "override", Name: p.Name, Err: err}
	}
	return report, err
}

func (p *OverridePlan) run(ctx context.Context, report *Report) error {
	ctx, grip, err := grasp(ctx, p.opts.Locker, p.UUID)
	if err != nil {
		return err
	}
	return grip.let(ctx, p.held(ctx, grip, report))
}

// held is run with the lock of the guest.
func (p *OverridePlan) held(ctx context.Context, grip *grip, report *Report) error {
	now := *p
	side, seen, err := now.look(ctx)
	if err != nil {
		return err
	}
	defer side.Close()
	if err := grip.claim(ctx, handover.Pair{Source: side, Target: side}); err != nil {
		return err
	}
	if now.Way != p.Way || now.Why != p.Why {
		return fmt.Errorf("%w: it would now end so: %s; plan it again", ErrOverride, now.Why)
	}
	off := seen.Guest != nil && seen.Guest.Off
	pair := handover.Pair{Source: side, Target: side, Before: (&resume{opts: p.opts}).before}
	r := seen.Record
	report.Move, report.Why, report.From, report.To = r.Move, p.Why, p.Host, p.Override.Host
	if p.Way == handover.Forward || p.Way == handover.Drop {
		report.From, report.To = p.Override.Host, p.Host
	}
	if err := pair.Override(ctx, &r, p.Override, off); err != nil {
		return err
	}
	report.Way = p.Way
	if r.State == owner.Running {
		report.Owner = p.Host
	}
	return nil
}

// String is the dry run.
func (p *OverridePlan) String() string {
	end := p.Host + " keeps it"
	switch p.Way {
	case handover.Lift:
		end = p.Host + " gets it back"
	case handover.Forward:
		end = p.Host + " takes it over"
	case handover.Drop:
		end = "what arrived on " + p.Host + " is discarded"
	}
	return fmt.Sprintf("override of %s (%s), which is %s on %s in a move with %s\n  you vouch for it that %s is %s and that %s runs nowhere else\n  %s: %s\n",
		p.Name, p.UUID, p.State, p.Host, p.Override.Host, p.Override.Host, p.Override.Vouch, p.Name, end, p.Why)
}
