package migrate

import (
	"context"
	"fmt"
	"time"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen/host"
)

// TwoPass is a cold move with a short stop: while the guest still runs, what it
// writes is copied in rounds until the rest is little. Then it powers off, the
// rest follows and is read again on both hosts, and it boots on the other one.
const TwoPass Mode = "two-pass"

// twoPass is the move, in order.
func (m *move) twoPass(ctx context.Context) error {
	if err := m.copies(ctx); err != nil {
		return err
	}
	if m.plan.Runs {
		if err := m.rounds(ctx); err != nil {
			return err
		}
	}
	if err := m.stop(ctx); err != nil {
		return err
	}
	for _, d := range m.plan.Guest.Disks {
		err := m.lastDelta(ctx, d.Dev)
		if unknown(err) { // the guest is off: all of it is better than another try
			err = m.whole(ctx, d, err)
		}
		if err != nil {
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
	return m.pair.Forward(ctx, &m.s, &m.t, m.plan.Guest.Off)
}

// whole sends all of a disk because of why, and compares it.
func (m *move) whole(ctx context.Context, d host.Disk, why error) error {
	if err := m.pair.Do(handover.Changes, m.pair.Source, d.Dev, func() error {
		return m.carry(ctx, handover.Changes, Pass{Dev: d.Dev, What: handover.AsIs, Whole: why.Error()}, d.Size, false)
	}); err != nil {
		return err
	}
	return m.pair.Do(handover.Verify, m.pair.Target, d.Dev, func() error { return m.verifyDisk(ctx, d) })
}

// inRounds tells that what the guest writes is followed while it runs.
func (p *Plan) inRounds() bool { return p.Mode == Live || p.Mode == TwoPass && p.Runs }

// maxPause is Options.MaxPause or what it is if nothing is said.
func (p *Plan) maxPause() time.Duration {
	switch {
	case p.opts.MaxPause != 0:
		return p.opts.MaxPause
	case p.Mode == TwoPass:
		return 5 * time.Second // the guest's own power-off and boot take longer
	}
	return time.Second
}

// estimate fills in the downtime.
func (p *Plan) estimate() {
	var all int64
	for _, d := range p.Disks {
		all += d.Size
	}
	reading := time.Duration(float64(all) / assumedRate * float64(time.Second)).Round(time.Second / 10)
	switch {
	case !p.Runs:
		p.Downtime, p.Basis = 0, ""
	case p.inRounds():
		p.Downtime = p.maxPause()
		p.Basis = fmt.Sprintf("rounds are made until what is left is sent in half of %s", p.maxPause())
		if p.opts.VerifyFull {
			p.Downtime += reading
			p.Basis += "; reading every disk again comes on top"
		}
	default:
		p.Downtime = reading
		p.Basis = fmt.Sprintf("reading every disk once on both hosts at %d MiB/s, which is assumed and not measured; what changes during the copy is unknown", assumedRate>>20)
	}
}
