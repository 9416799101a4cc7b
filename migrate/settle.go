package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// settleTime bounds what is done after a failure, each way.
const settleTime = 5 * time.Minute

// settle ends a move that failed with cause: back while the source has not
// given the guest up, else forward. What it can not reach it leaves to Resume.
func (m *move) settle(ctx context.Context, cause error) error {
	// What ended ctx must not end this.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	m.pair.Before = func(s handover.Step) error { return m.step(s, false) }

	// A write whose answer was lost may have happened: look, do not remember.
	s, err := m.pair.Source.Observe(ctx)
	if err != nil {
		m.report.Owner = ""
		return m.interrupted(cause, err, m.plan.From+" does not answer")
	}
	m.s = s.Record
	if t, tErr := m.pair.Target.Observe(ctx); tErr == nil {
		m.t = t.Record
	}
	if m.s.State == owner.Running || m.s.State == owner.Prepared {
		return m.back(ctx, cause)
	}
	m.report.Owner = m.plan.To
	if err := m.pair.Forward(ctx, &m.s, &m.t, m.plan.Guest.Off); err != nil {
		if m.t.State != owner.Running {
			m.report.Owner = ""
			return m.interrupted(cause, err, fmt.Sprintf("%s has given %s up and %s has not taken it over: it runs nowhere", m.plan.From, m.plan.Guest.Name, m.plan.To))
		}
		return m.interrupted(cause, err, fmt.Sprintf("%s has it, but not all was done", m.plan.To))
	}
	m.report.Way = handover.Forward
	return nil // the second try of the same step went well
}

// settleLive ends a live move that failed with cause as Resume does: what the
// domains show decides, since the source's toolstack acts by itself.
func (m *move) settleLive(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	m.pair.Before = func(s handover.Step) error { return m.step(s, false) }
	s, err := m.pair.Source.Observe(ctx)
	if err != nil {
		m.report.Owner = ""
		return m.interrupted(cause, err, m.plan.From+" does not answer")
	}
	if m.s = s.Record; m.s.State == owner.Prepared || m.s.State == owner.Running {
		if t, err := m.pair.Target.Observe(ctx); err == nil {
			m.t = t.Record
		}
		return m.back(ctx, cause)
	}
	r := &resume{report: m.report, opts: Options{OnStep: func(s handover.Step) error { return m.step(s, false) }}}
	err = r.settle(ctx, [2]handover.Side{m.pair.Source, m.pair.Target})
	m.report.Way, m.report.Owner, m.report.Why = r.report.Way, r.report.Owner, r.report.Why
	switch {
	case err != nil:
		m.report.Owner = ""
		return m.interrupted(cause, err, fmt.Sprintf("%s has given %s up, or was about to", m.plan.From, m.plan.Guest.Name))
	case m.report.Owner == m.plan.To:
		m.report.Lost = m.report.Downtime == 0 // it was not seen to go on
		m.report.Downtime = time.Since(m.downAt)
		return nil
	}
	return fmt.Errorf("%w; rolled back: %s stays on %s", cause, m.plan.Guest.Name, m.plan.From)
}

func (m *move) back(ctx context.Context, cause error) error {
	err := m.pair.Back(ctx, &m.s, &m.t, m.plan.Guest.Off)
	m.report.Way = handover.Back
	if !m.downAt.IsZero() {
		m.report.Downtime = time.Since(m.downAt)
	}
	switch {
	case err == nil:
		return fmt.Errorf("%w; rolled back: %s stays on %s", cause, m.plan.Guest.Name, m.plan.From)
	case m.s.State == owner.Running && (m.t.State == owner.Receiving || m.t.State == owner.Ready):
		// The next move goes on with a copy that was arriving; Resume discards it.
		return fmt.Errorf("%w; rolled back: %s stays on %s, what was copied stays on %s: %w", cause, m.plan.Guest.Name, m.plan.From, m.plan.To, err)
	}
	return m.interrupted(cause, err, "the roll back failed too")
}

// interrupted tells the night shift what stands and what to do.
func (m *move) interrupted(cause, then error, state string) error {
	if errors.Is(then, cause) || then.Error() == cause.Error() {
		then = nil
	}
	text := fmt.Errorf("%w: %s; when both hosts answer, run on %s: move --resume %s --to %s (migrate.Resume, from either host); if one is dead for ever: move --dead (migrate.PlanOverride)",
		ErrInterrupted, state, m.plan.From, m.plan.Guest.UUID, m.plan.To)
	if then != nil {
		text = fmt.Errorf("%w (then: %w)", text, then)
	}
	return fmt.Errorf("%w: %w", cause, text)
}
