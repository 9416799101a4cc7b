// Package quota acts when a guest has used its traffic: it tells the customer,
// throttles, and has the kernel stop it at the byte.
//
//	e := &quota.Enforcer{Store: ledger, Throttler: host, Limiter: network, Rate: shaping.Mbit, Hook: tell}
//	recorder.After = e.Enforce // after each reading
//
// What was done stands in the ledger, so a restart does it no second time. What a
// guest has used is what the ledger knows, of all hosts whose rows it has; the
// kernel's own limit goes on counting where it is while nobody reads.
package quota

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/shaping"
)

// Throttler holds a guest below its rates: host.Host.
type Throttler interface {
	Throttle(ctx context.Context, guest uuid.UUID, t shaping.Throttle) error
}

// Limiter stops traffic in the kernel: meter.Linux.
type Limiter interface {
	SetLimits(ctx context.Context, limits []accounting.Limit) error
}

// Event is a threshold that was reached.
type Event struct {
	Quota accounting.Quota
	Level accounting.Level
	Used  int64 // bytes
}

// ID is the same for the same guest, period, threshold and amount: a receiver
// that keeps it can tell the one repetition that a crash at the wrong moment can
// cause.
func (e Event) ID() string {
	return fmt.Sprintf("%s/%d/%s/%d", e.Quota.Guest, e.Quota.Period.Unix(), e.Level, e.Quota.Limit+e.Quota.TopUp)
}

// Enforcer acts by the quotas in a ledger. Throttler and Limiter may be nil: then
// nobody is throttled or stopped.
type Enforcer struct {
	Store     accounting.Store
	Throttler Throttler
	Limiter   Limiter
	Rate      shaping.Rate // of a throttled guest
	// Hook is called once for each threshold and period, and again until it
	// returns nil.
	Hook func(ctx context.Context, e Event) error
	Now  func() time.Time // nil is time.Now
}

func (e *Enforcer) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}

// Used is what counts of a guest's traffic in the period that is now.
func (e *Enforcer) Used(ctx context.Context, q accounting.Quota) (int64, accounting.Period, error) {
	loc, err := time.LoadLocation(q.Zone)
	if err != nil {
		return 0, accounting.Period{}, err
	}
	p, err := accounting.Month(e.now(), loc, q.Anchor)
	if err != nil {
		return 0, p, err
	}
	var used int64
	for r, err := range e.Store.Rows(ctx, accounting.Query{Guest: q.Guest, From: p.Start, To: p.End}) {
		if err != nil {
			return 0, p, err
		}
		used += q.Count.Of(r.Usage)
	}
	return used, p, nil
}

// Enforce looks at all quotas. What fails is reported and tried again the next
// time; the others are done.
func (e *Enforcer) Enforce(ctx context.Context) error {
	all, err := e.Store.Quotas(ctx)
	if err != nil {
		return err
	}
	var errs []error
	var limits []accounting.Limit
	for _, q := range all {
		used, p, err := e.Used(ctx, q)
		if err == nil {
			err = e.guest(ctx, &q, used, p)
		}
		if err != nil {
			errs = append(errs, &accounting.Error{Op: "quota", Name: q.Guest.String(), Err: err})
		}
		if bytes, ok := q.Bytes(accounting.LevelHard); ok {
			limits = append(limits, accounting.Limit{Guest: q.Guest, Period: p.Start, Bytes: bytes, Used: used, Count: q.Count})
		}
	}
	if e.Limiter != nil {
		if err := e.Limiter.SetLimits(ctx, limits); err != nil {
			errs = append(errs, &accounting.Error{Op: "quota", Err: err})
		}
	}
	return errors.Join(errs...)
}

// guest brings one guest to where it should be.
func (e *Enforcer) guest(ctx context.Context, q *accounting.Quota, used int64, p accounting.Period) error {
	if !q.Period.Equal(p.Start) { // a new period
		if err := e.lift(ctx, *q); err != nil {
			return err
		}
		q.Period, q.TopUp, q.Done = p.Start, 0, nil
		if err := e.Store.SetQuota(ctx, *q); err != nil {
			return err
		}
	}
	for _, level := range []accounting.Level{accounting.LevelWarn, accounting.LevelSoft, accounting.LevelHard} {
		bytes, ok := q.Bytes(level)
		if !ok || used < bytes || slices.Contains(q.Done, level) {
			continue
		}
		if level == accounting.LevelSoft && e.Throttler != nil {
			if err := e.Throttler.Throttle(ctx, q.Guest, shaping.Throttle{Rate: e.Rate, Until: p.End}); err != nil {
				return err
			}
		}
		if e.Hook != nil {
			if err := e.Hook(ctx, Event{Quota: *q, Level: level, Used: used}); err != nil {
				return err
			}
		}
		q.Done = append(slices.Clone(q.Done), level)
		if err := e.Store.SetQuota(ctx, *q); err != nil {
			return err
		}
	}
	return nil
}

// lift takes the throttle off that this period's quota put on.
func (e *Enforcer) lift(ctx context.Context, q accounting.Quota) error {
	if e.Throttler == nil || !slices.Contains(q.Done, accounting.LevelSoft) {
		return nil
	}
	return e.Throttler.Throttle(ctx, q.Guest, shaping.Throttle{})
}

// TopUp gives a guest more for this period, in force when it returns: thresholds
// that are not reached any more are open again. fs.ErrNotExist: it has no quota.
func (e *Enforcer) TopUp(ctx context.Context, guest uuid.UUID, bytes int64) (accounting.Quota, error) {
	q, err := e.topUp(ctx, guest, bytes)
	if err != nil {
		return accounting.Quota{}, &accounting.Error{Op: "top up", Name: guest.String(), Err: err}
	}
	return q, nil
}

func (e *Enforcer) topUp(ctx context.Context, guest uuid.UUID, bytes int64) (accounting.Quota, error) {
	all, err := e.Store.Quotas(ctx)
	if err != nil {
		return accounting.Quota{}, err
	}
	i := slices.IndexFunc(all, func(q accounting.Quota) bool { return q.Guest == guest })
	if i < 0 {
		return accounting.Quota{}, fmt.Errorf("quota: %w", fs.ErrNotExist)
	}
	q := all[i]
	used, p, err := e.Used(ctx, q)
	if err != nil {
		return q, err
	}
	if !q.Period.Equal(p.Start) {
		if err := e.guest(ctx, &q, 0, p); err != nil {
			return q, err
		}
	}
	before := q
	q.TopUp += bytes
	if bytes <= 0 {
		return q, fmt.Errorf("%d bytes more: %w", bytes, accounting.ErrInvalid)
	}
	q.Done = slices.DeleteFunc(slices.Clone(q.Done), func(l accounting.Level) bool {
		at, ok := q.Bytes(l)
		return !ok || used < at
	})
	if !slices.Contains(q.Done, accounting.LevelSoft) {
		if err := e.lift(ctx, before); err != nil {
			return q, err
		}
	}
	if err := e.Store.SetQuota(ctx, q); err != nil {
		return q, err
	}
	return q, e.Enforce(ctx)
}
