package clone

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen/host"
)

// Report is what a Sweep did.
type Report struct {
	Expired    []Clone     `json:"expired,omitempty"`    // their time was over: discarded
	Unfinished []Clone     `json:"unfinished,omitempty"` // what a crash left of a Make: discarded
	Full       []Clone     `json:"full,omitempty"`       // a volume of theirs had run full: discarded
	Promoted   []Clone     `json:"promoted,omitempty"`   // a crash had left them half promoted: now they are
	Islands    []uuid.UUID `json:"islands,omitempty"`    // networks of guests that are not there: removed
}

// Sweep ends what should not be there: clones that have expired at now, that have
// run full, and what crashes left of any verb of this package. What another
// process works on at the moment is left to it. It can run at any time, beside
// anything; once a minute is enough. What fails does not keep it from the rest.
func Sweep(ctx context.Context, h *host.Host, now time.Time) (Report, error) {
	var r Report
	var islands []uuid.UUID
	if h.Islands() != nil {
		var err error
		if islands, err = h.Islands().List(ctx); err != nil { // before the clones: an island is made after its clone's definition
			return r, err
		}
	}
	all, err := List(ctx, h)
	if err != nil {
		return r, err
	}
	var errs []error
	for _, c := range all {
		err := sweep(ctx, h, c, now, &r)
		if !errors.Is(err, host.ErrBusy) {
			errs = append(errs, err)
		}
	}
	for _, id := range islands {
		if slices.ContainsFunc(all, func(c Clone) bool { return c.UUID == id }) {
			continue
		}
		if err := h.Islands().Remove(ctx, id); err != nil {
			errs = append(errs, err)
			continue
		}
		r.Islands = append(r.Islands, id)
	}
	return r, errors.Join(errs...)
}

func sweep(ctx context.Context, h *host.Host, c Clone, now time.Time, r *Report) error {
	to := &r.Expired
	switch {
	case c.State == Promoting:
		_, err := Promote(ctx, h, c.UUID)
		if err == nil {
			r.Promoted = append(r.Promoted, c)
		}
		return err
	case c.State == Building:
		to = &r.Unfinished
	case full(ctx, h, c):
		to = &r.Full
	case c.Expires.After(now):
		return nil
	}
	if err := Discard(ctx, h, c.UUID); err != nil {
		return err
	}
	*to = append(*to, c)
	return nil
}

// full tells whether a volume of a clone is lost.
func full(ctx context.Context, h *host.Host, c Clone) bool {
	return slices.ContainsFunc(c.Disks, func(id lvm.ID) bool {
		_, err := h.Volumes().Fill(ctx, id)
		return errors.Is(err, lvm.ErrSnapshotInvalid)
	})
}

// Guard watches a clone's volumes until ctx ends or the clone is gone, and
// discards the clone before it does harm: a thick one, made with Options.Room,
// before its room is full, a thin one before the pool stops the writes of every
// guest in it. The error is lvm.ErrAborted then. Without Room, and in a pool
// that promises no more than it has, there is no need of it.
func Guard(ctx context.Context, h *host.Host, id uuid.UUID, opts *lvm.GuardOptions) error {
	c, err := one(ctx, h, id)
	if err != nil {
		return err
	}
	var o lvm.GuardOptions
	if opts != nil {
		o = *opts
	}
	told := o.GivesUp
	o.GivesUp = func(v lvm.Volume, why error) {
		if told != nil {
			told(v, why)
		}
		// The domain has the volume open. If this fails, the next look tries again
		// to remove it, and the error says that it is there.
		_ = h.Domains().Destroy(ctx, id)
	}
	err = guardEach(ctx, h, id, c.Disks, &o)
	if !errors.Is(err, lvm.ErrAborted) {
		return err
	}
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	if gone := Discard(back, h, id); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// guardEach watches each volume by itself, so that the first that is given up
// ends all: a clone that has lost one is of no use.
func guardEach(ctx context.Context, h *host.Host, id uuid.UUID, disks []lvm.ID, o *lvm.GuardOptions) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	found := make([]error, len(disks))
	var all sync.WaitGroup
	for i, d := range disks {
		all.Go(func() {
			if found[i] = lvm.Guard(ctx, h.Volumes(), host.Guest{UUID: id}.Tag(), []lvm.ID{d}, o); found[i] != nil {
				end()
			}
		})
	}
	all.Wait()
	return errors.Join(found...)
}
