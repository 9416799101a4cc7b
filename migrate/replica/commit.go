package replica

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/internal/durable"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/host"
)

// recover finishes a generation that was being applied, and loads the last one.
func (l *Local) recover(ctx context.Context) (err error) {
	if l.last, err = load(l.dir); err != nil {
		return err
	}
	var next Generation
	there, err := read(filepath.Join(l.dir, nextFile), &next)
	if err != nil || !there {
		return err
	}
	return l.finish(ctx, next)
}

// finish applies what the redo logs have, and makes next the generation.
func (l *Local) finish(ctx context.Context, next Generation) error {
	for dev, g := range next.Disks {
		d := l.disks[dev]
		if d == nil || d.replica.Generation() == g { // nil: the guest has it no more
			continue
		}
		if err := d.replica.Apply(ctx, g); err != nil {
			return fmt.Errorf("disk %s: %w", dev, err)
		}
	}
	if err := l.sweep(ctx, next.Guest); err != nil {
		return err
	}
	if err := durable.Rename(filepath.Join(l.dir, nextFile), filepath.Join(l.dir, generationFile)); err != nil {
		return err
	}
	l.last = &next
	return nil
}

// sweep removes the volumes of disks that the guest has no more.
func (l *Local) sweep(ctx context.Context, now host.Guest) error {
	if l.last == nil {
		return nil
	}
	for _, old := range l.last.Guest.Disks {
		if slices.ContainsFunc(now.Disks, func(d host.Disk) bool { return d.Volume == old.Volume }) {
			continue
		}
		if err := l.hold.DropReplicaDisk(ctx, old); err != nil {
			return err
		}
		if l.disks[old.Dev] == nil { // nor has another volume its name
			if err := os.RemoveAll(filepath.Join(l.dir, old.Dev)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Commit implements Keeper.
func (l *Local) Commit(ctx context.Context, g Generation) (Generation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.offer.Run == uuid.Nil || g.Run != l.offer.Run:
		return g, fmt.Errorf("%w: run %s was not begun", host.ErrInvalid, g.Run)
	case l.last != nil && l.last.Run == g.Run:
		l.last.Sums, l.last.Doubt = g.Sums, g.Doubt
		return *l.last, write(filepath.Join(l.dir, generationFile), *l.last)
	case len(g.Disks) != len(l.disks) || g.Taken.IsZero():
		return g, fmt.Errorf("%w: a generation of %d disks, here are %d", host.ErrInvalid, len(g.Disks), len(l.disks))
	}
	for dev, want := range g.Disks {
		d := l.disks[dev]
		if d == nil || want == (blockcopy.Generation{}) || want != d.replica.Generation() && want != d.replica.Staged() {
			return g, fmt.Errorf("%w: disk %q is not here as %s", blockcopy.ErrBase, dev, want)
		}
	}
	g.From, g.Epoch, g.Guest, g.Confirmed, g.Number = l.from, l.offer.Epoch, l.offer.Guest, time.Now().UTC(), 1
	if l.last != nil {
		g.Number = l.last.Number + 1
	}
	if err := write(filepath.Join(l.dir, nextFile), g); err != nil {
		return g, err
	}
	return g, l.finish(context.WithoutCancel(ctx), g)
}
