package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen/host"
)

// ErrDiffers: after the copy a disk is not the same on both hosts.
var ErrDiffers = errors.New("the copy differs")

// carry takes a disk, or a part of it, from source to target, wherever the two
// are: the bytes pass through the mover.
func (m *move) carry(ctx context.Context, name handover.Name, p Pass, total int64, fresh bool) error {
	began := time.Now()
	t := blockcopy.NewTransfer(m.size(p.Dev))
	t.Fresh = fresh
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	accepted := make(chan error, 1)
	go func() {
		_, err := m.pair.Target.Accept(ctx, p.Dev, t, r)
		r.CloseWithError(errAccept) // ends the sender
		accepted <- err
	}()
	stats, sendErr := m.pair.Source.Send(ctx, handover.Reading{Dev: p.Dev, What: p.What}, t, m.metered(m.pace.Writer(ctx, w), name, p, total))
	w.CloseWithError(sendErr) // nil is EOF, behind END
	acceptErr := <-accepted
	if sendErr != nil && (acceptErr == nil || !errors.Is(sendErr, errAccept)) {
		return sendErr
	}
	if acceptErr != nil {
		return acceptErr
	}
	p.Stats, p.Duration = stats, time.Since(began)
	m.report.Passes = append(m.report.Passes, p)
	return nil
}

// errAccept is what a sender gets when the receiver has ended first; the cause
// is the receiver's error.
var errAccept = errors.New("the receiver ended")

// metered tells the caller how far a pass is.
func (m *move) metered(w io.Writer, name handover.Name, p Pass, total int64) io.Writer {
	report := m.plan.opts.Progress
	if report == nil {
		return w
	}
	step := handover.Step{Name: name, Host: m.plan.From, Dev: p.Dev}
	var done int64
	return &blockcopy.Meter{W: w, Frame: func(offset, length int64) {
		if done += length; p.What != handover.AsChanged {
			done = min(offset+blockcopy.ExtentSize, total) // with zeros that were left out
		}
		report(Event{Step: step, Done: done, Total: total})
	}}
}

func (m *move) size(dev string) int64 {
	for _, d := range m.plan.Guest.Disks {
		if d.Dev == dev {
			return d.Size
		}
	}
	return 0
}

// verify lets both hosts read every disk again and compares.
func (m *move) verify(ctx context.Context) error {
	for _, d := range m.plan.Guest.Disks {
		if err := m.pair.Do(handover.Verify, m.pair.Target, d.Dev, func() error { return m.verifyDisk(ctx, d) }); err != nil {
			return err
		}
	}
	return nil
}

func (m *move) verifyDisk(ctx context.Context, d host.Disk) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		sum [sha256.Size]byte
		err error
	}
	there := make(chan result, 1)
	go func() {
		sum, err := m.pair.Target.Sum(ctx, d.Dev)
		if err != nil {
			cancel()
		}
		there <- result{sum, err}
	}()
	sum, err := m.pair.Source.Sum(ctx, d.Dev)
	if err != nil {
		cancel()
	}
	other := <-there
	if err != nil && !errors.Is(err, context.Canceled) || other.err == nil && err != nil {
		return err
	}
	if other.err != nil {
		return other.err
	}
	if sum != other.sum {
		return fmt.Errorf("%w: SHA-256 of %s is %x on %s and %x on %s", ErrDiffers, d.Dev, sum, m.plan.From, other.sum, m.plan.To)
	}
	m.report.Sums[d.Dev] = hex.EncodeToString(sum[:])
	return nil
}
