package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/relay"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// ErrBusyDisks: the guest writes faster than the connection carries.
// It is left where it runs: nothing is looped on.
var ErrBusyDisks = errors.New("the guest writes faster than its disks can be copied: move it cold, or at another hour")

// live is the move, in order: disks while the guest runs, in rounds, then its
// memory, and the last of both while nobody runs.
func (m *move) live(ctx context.Context) error {
	if err := m.copies(ctx); err != nil {
		return err
	}
	if err := m.rounds(ctx); err != nil {
		return err
	}
	if err := m.beforeStop(ctx); err != nil {
		return err
	}
	err := m.pair.Do(handover.Migrate, m.pair.Source, "", func() error { return m.memory(ctx) })
	if err != nil {
		return err
	}
	return m.pair.Forward(ctx, &m.s, &m.t, m.plan.Guest.Off)
}

// rounds follows the guest's writes until what is left is little.
func (m *move) rounds(ctx context.Context) error {
	opts, pause := m.plan.opts, m.plan.maxPause()
	if opts.MaxRounds == 0 {
		opts.MaxRounds = 12
	}
	last := int64(-1)
	for n := 1; ; n++ {
		left, err := m.left(ctx)
		if err != nil {
			return err
		}
		if left <= m.budget(pause) {
			return nil
		}
		if n > opts.MaxRounds || n > 3 && last >= 0 && left > last-last/10 {
			return fmt.Errorf("%w: after %d rounds %s are left, %s fit the pause", ErrBusyDisks, n-1, Bytes(left), Bytes(m.budget(pause)))
		}
		last = left
		m.report.Rounds = n
		if err := m.round(ctx); err != nil {
			return err
		}
	}
}

// left is how many bytes of the disks were written since the last snapshots.
func (m *move) left(ctx context.Context) (bytes int64, err error) {
	for _, d := range m.plan.Guest.Disks {
		n, err := m.pair.Source.Changed(ctx, d.Dev)
		if unknown(err) {
			n, err = d.Size, nil
		}
		if err != nil {
			return 0, fmt.Errorf("what has changed on %s: %w", d.Dev, err)
		}
		bytes += n
	}
	return bytes, nil
}

// round sends what was written since the last snapshots, while the guest runs.
func (m *move) round(ctx context.Context) error {
	var sizes map[string]int64
	if err := m.pair.Do(handover.Round, m.pair.Source, "", func() (err error) {
		sizes, err = m.pair.Source.Next(ctx)
		return err
	}); err != nil {
		return err
	}
	for _, d := range m.plan.Guest.Disks {
		pass, size := Pass{Dev: d.Dev, What: handover.AsChanged}, sizes[d.Dev]
		if size < 0 {
			pass.What, pass.Whole, size = handover.AsIs, "its snapshot can not tell what changed", d.Size
		}
		if err := m.onward(ctx, func() error {
			return m.pair.Do(handover.Changes, m.pair.Source, d.Dev, func() error {
				return m.carry(ctx, handover.Changes, pass, size, false)
			})
		}); err != nil {
			return err
		}
	}
	return nil
}

// budget is how many bytes go over in half of a pause, by what was carried so
// far, and at least a few blocks.
func (m *move) budget(pause time.Duration) int64 {
	const least = 1 << 20
	for i := len(m.report.Passes) - 1; i >= 0; i-- {
		if p := m.report.Passes[i]; p.Data >= least && p.Duration > 0 {
			return max(least, int64(float64(p.Data)/p.Duration.Seconds()*pause.Seconds()/2))
		}
	}
	return least
}

// memory sends the domain, with us between its two halves.
func (m *move) memory(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	source, sWire := net.Pipe()
	target, tWire := net.Pipe()
	sent, received := make(chan error, 1), make(chan error, 1)
	go func() {
		stats, err := m.pair.Source.Emit(ctx, sWire, m.plan.Suspended)
		m.report.Memory = stats
		sent <- err
	}()
	go func() {
		_, err := m.pair.Target.Absorb(ctx, tWire)
		received <- err
	}()
	hangUp := func() {
		source.Close()
		target.Close()
	}
	defer hangUp() // also when the gate ends this goroutine
	toTarget := struct {
		io.Reader
		io.Writer
	}{target, m.pace.Writer(ctx, target)}
	err := relay.Join(ctx, source, toTarget, relay.Gate{Ready: m.ready, Go: m.given, Runs: m.runs}, nil)
	if err != nil {
		cancel() // before the pipes end: a copy that is complete shall stay
	}
	hangUp()
	sendErr, receiveErr := <-sent, <-received
	switch {
	case err == nil && m.t.State == owner.Committed:
		return nil // what follows looks at both hosts
	case errors.Is(err, relay.ErrTarget) && receiveErr != nil:
		return fmt.Errorf("%s: %w", m.plan.To, receiveErr)
	case sendErr != nil && !quiet(sendErr):
		return errors.Join(fmt.Errorf("%s: %w", m.plan.From, sendErr), err)
	}
	return errors.Join(err, receiveErr)
}

// quiet tells that an end only saw the other one go.
func quiet(err error) bool { return errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) }

// ready is the gate: the guest is suspended at the source, its copy paused at
// the target, and what was written last is not there yet.
func (m *move) ready(ctx context.Context) error {
	m.downAt = time.Now()
	for _, d := range m.plan.Guest.Disks {
		if err := m.lastDelta(ctx, d.Dev); err != nil {
			return err
		}
	}
	if m.plan.opts.VerifyFull {
		if err := m.verify(ctx); err != nil {
			return err
		}
	}
	if err := m.complete(ctx); err != nil {
		return err
	}
	if err := m.pair.GiveUp(ctx, &m.s, &m.t); err != nil {
		return err
	}
	return m.passes(handover.LetGo, m.pair.Source)
}

// passes announces that a word is about to go to a toolstack.
func (m *move) passes(name handover.Name, side handover.Side) error {
	return m.pair.Do(name, side, "", func() error { return nil })
}

func (m *move) lastDelta(ctx context.Context, dev string) error {
	source, target := m.pair.Source, m.pair.Target
	if err := m.pair.Do(handover.Changes, source, dev, func() error {
		bytes, err := source.Changed(ctx, dev)
		if err != nil {
			return err // all of a disk is too much for now
		}
		return m.carry(ctx, handover.Changes, Pass{Dev: dev, What: handover.AsChanged}, bytes, false)
	}); err != nil {
		return err
	}
	return m.pair.Do(handover.Verify, target, dev, func() error {
		extents, err := source.Extents(ctx, dev)
		if err != nil {
			return err
		}
		there, err := target.Reread(ctx, dev, extents)
		if err != nil {
			return err
		}
		here, err := source.Reread(ctx, dev, extents)
		if err == nil && here != there {
			err = fmt.Errorf("%w: what was sent last of %s is %x on %s and %x on %s", ErrDiffers, dev, here, m.plan.From, there, m.plan.To)
		}
		return err
	})
}

// given: the source's toolstack has no power over the domain any more.
func (m *move) given(ctx context.Context) error {
	committed := m.t
	committed.State = owner.Committed
	if err := m.pair.Put(ctx, handover.Commit, m.pair.Target, &m.t, committed); err != nil {
		return err
	}
	return m.passes(handover.Unpause, m.pair.Target)
}

func (m *move) runs(context.Context) error {
	m.report.Downtime = time.Since(m.downAt)
	return m.passes(handover.Report, m.pair.Source)
}
