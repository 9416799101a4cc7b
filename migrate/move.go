package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/internal/pace"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Run does the move. It holds the guest on both hosts and looks again first,
// so a Plan that is out of date is refused and never guessed at.
//
// A failure before the cut-over (the step "give up") is rolled back before Run
// returns, also when ctx is what ended it: the guest runs at the source, the
// copy is discarded. After the cut-over Run goes forward. What it can not end
// by itself, because a host does not answer, is ErrInterrupted, and Resume
// ends it. A process that is killed in the middle leaves the same to Resume.
func (p *Plan) Run(ctx context.Context) (Report, error) {
	began := time.Now()
	m := &move{plan: p, report: Report{
		UUID: p.Guest.UUID, Name: p.Guest.Name, From: p.From, To: p.To,
		Way: handover.Nothing, Owner: p.From, Sums: make(map[string]string),
	}}
	err := m.run(ctx)
	m.report.Duration = time.Since(began)
	if err != nil {
		err = &Error{Op: "move", Name: p.Guest.Name, Err: err}
	}
	return m.report, err
}

// move is one Run. s and t are the owner records as far as the mover knows.
type move struct {
	plan   *Plan
	pair   handover.Pair
	grip   *grip
	pace   *pace.Limit // of all that is sent
	s, t   owner.Record
	report Report
	downAt time.Time // when the guest was asked to stop

	closers []io.Closer // connections that Redial made
}

func (m *move) run(ctx context.Context) error {
	ctx, grip, err := grasp(ctx, m.plan.opts.Locker, m.plan.Guest.UUID)
	if err != nil {
		return err
	}
	m.grip = grip
	return grip.let(ctx, m.held(ctx))
}

// held is run with the lock of the guest.
func (m *move) held(ctx context.Context) error {
	pair, err := openPair(ctx, m.plan.from, m.plan.to, m.plan.Guest.UUID)
	if err != nil {
		return err
	}
	m.pair = pair
	defer m.close()
	m.pair.Before = func(s handover.Step) error {
		if err := m.step(s, true); err != nil {
			return err
		}
		return m.grip.before(ctx, s)
	}
	if err := m.grip.claim(ctx, pair); err != nil {
		return err
	}
	now, s, t, err := look(ctx, pair)
	if err != nil {
		return err
	}
	m.s, m.t = s.Record, t.Record
	now.from, now.to, now.opts, now.Mode = m.plan.from, m.plan.to, m.plan.opts, m.plan.Mode
	m.plan, m.pace = now, pace.New(now.opts.Limit)
	if err := m.plan.may(); err != nil {
		return err
	}
	switch m.plan.Mode {
	case Live:
		if err := m.live(ctx); err != nil {
			return m.settleLive(ctx, err)
		}
	case TwoPass:
		if err := m.twoPass(ctx); err != nil {
			return m.settle(ctx, err)
		}
	default:
		if err := m.cold(ctx); err != nil {
			return m.settle(ctx, err)
		}
	}
	m.afterStart(ctx)
	m.report.Way, m.report.Owner = handover.Forward, m.plan.To
	return nil
}

// step tells the caller of a step. heed is whether its error counts.
func (m *move) step(s handover.Step, heed bool) error {
	switch {
	case s.Name == handover.Stop:
		m.downAt = time.Now()
	case s.Name == handover.PutAside && !m.downAt.IsZero(): // the step after Start
		m.report.Downtime = time.Since(m.downAt)
	}
	if m.plan.opts.Progress != nil {
		m.plan.opts.Progress(Event{Step: s})
	}
	if m.plan.opts.OnStep != nil {
		if err := m.plan.opts.OnStep(s); err != nil && heed {
			return fmt.Errorf("before %s: %w", s, err)
		}
	}
	return nil
}

// afterStart calls the hook of a guest that has moved.
func (m *move) afterStart(ctx context.Context) {
	if m.plan.opts.AfterStart == nil || !m.plan.Runs {
		return
	}
	if err := m.plan.opts.AfterStart(context.WithoutCancel(ctx), m.plan.Guest); err != nil {
		m.report.Hook = err.Error()
	}
}

func (m *move) beforeStop(ctx context.Context) error {
	if m.plan.opts.BeforeStop == nil {
		return nil
	}
	if err := m.plan.opts.BeforeStop(ctx, m.plan.Guest); err != nil {
		return fmt.Errorf("hook before the stop: %w", err)
	}
	return nil
}

// copies makes the target's volumes and fills them while the guest runs.
func (m *move) copies(ctx context.Context) error {
	source, target, g := m.pair.Source, m.pair.Target, m.plan.Guest
	live := m.plan.Mode == Live
	if !m.plan.GoesOn {
		if err := m.pair.Forget(ctx, &m.t); err != nil { // what an earlier move left
			return err
		}
	}
	m.report.Move = uuid.New()
	prepared := owner.Record{UUID: g.UUID, State: owner.Prepared, Epoch: m.s.Epoch, Peer: m.plan.To, Move: m.report.Move, Live: live}
	if err := m.pair.Put(ctx, handover.Prepare, source, &m.s, prepared); err != nil {
		return err
	}
	receiving := owner.Record{UUID: g.UUID, State: owner.Receiving, Epoch: m.s.Epoch + 1, Peer: m.plan.From, Move: m.report.Move, Live: live}
	if err := m.pair.Put(ctx, handover.Offer, target, &m.t, receiving); err != nil {
		return err
	}
	var fresh map[string]bool
	if err := m.pair.Do(handover.Receive, target, "", func() (err error) {
		fresh, err = target.Receive(ctx, g, receiving.Epoch)
		return err
	}); err != nil {
		return err
	}
	if err := m.pair.Do(handover.Snapshot, source, "", func() error { return source.Snapshot(ctx) }); err != nil {
		return err
	}
	for _, d := range g.Disks {
		if err := m.onward(ctx, func() error {
			empty := fresh[d.Dev]
			fresh[d.Dev] = false // whatever becomes of this try
			return m.first(ctx, d, empty)
		}); err != nil {
			return err
		}
	}
	return nil
}

// first is the first copy of a disk.
func (m *move) first(ctx context.Context, d host.Disk, fresh bool) error {
	pass := Pass{Dev: d.Dev, What: handover.AsSnapshot}
	if !fresh {
		if err := m.pair.Do(handover.Compare, m.pair.Target, d.Dev, func() (err error) {
			pass.Asked, err = m.compare(ctx, d.Dev)
			return err
		}); err != nil {
			return err
		}
	}
	return m.pair.Do(handover.Copy, m.pair.Source, d.Dev, func() error {
		return m.carry(ctx, handover.Copy, pass, d.Size, fresh)
	})
}

// stop waits for the end of a guest that runs, or of the host's grace, also when
// ctx ends: a guest that was asked to power off can not be asked not to, and would
// do so behind a roll-back that saw it run.
func (m *move) stop(ctx context.Context) error {
	if !m.plan.Runs {
		return nil
	}
	if err := m.beforeStop(ctx); err != nil {
		return err
	}
	return m.pair.Do(handover.Stop, m.pair.Source, "", func() (err error) {
		m.report.Ending, err = m.pair.Source.Stop(context.WithoutCancel(ctx))
		return err
	})
}

// cold is the move, in order.
func (m *move) cold(ctx context.Context) error {
	if err := m.copies(ctx); err != nil {
		return err
	}
	if err := m.stop(ctx); err != nil {
		return err
	}
	if err := m.changes(ctx); err != nil {
		return err
	}
	if err := m.verify(ctx); err != nil {
		return err
	}
	if err := m.complete(ctx); err != nil {
		return err
	}
	return m.pair.Forward(ctx, &m.s, &m.t, m.plan.Guest.Off)
}

// complete is when nobody writes any more and all has arrived: the target may
// get the guest.
func (m *move) complete(ctx context.Context) error {
	if err := m.sameShared(ctx); err != nil {
		return err
	}
	ready := m.t
	ready.State = owner.Ready
	return m.pair.Put(ctx, handover.Ready, m.pair.Target, &m.t, ready)
}

// changes sends what was written since the snapshots, or everything where a
// snapshot can not tell.
func (m *move) changes(ctx context.Context) error {
	for _, d := range m.plan.Guest.Disks {
		if err := m.pair.Do(handover.Changes, m.pair.Source, d.Dev, func() error {
			pass := Pass{Dev: d.Dev, What: handover.AsChanged}
			bytes, err := m.pair.Source.Changed(ctx, d.Dev)
			if errors.Is(err, lvm.ErrSnapshotInvalid) || errors.Is(err, errors.ErrUnsupported) {
				pass.What, pass.Whole, bytes, err = handover.AsIs, err.Error(), d.Size, nil
			}
			if err != nil {
				return err
			}
			return m.carry(ctx, handover.Changes, pass, bytes, false)
		}); err != nil {
			return err
		}
	}
	return nil
}
