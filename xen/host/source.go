package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
)

// Snapshot makes a snapshot of each of the guest's volumes, by Disk.Dev, for a
// move to read from; those of an earlier attempt are removed first.
func (l *Hold) Snapshot(ctx context.Context) (map[string]lvm.Volume, error) {
	g, err := l.Definition()
	if err != nil {
		return nil, err
	}
	if err := l.unborn(ctx, g); err != nil { // found out now, while the guest runs
		return nil, &Error{Op: "snapshot", Name: g.Name, Err: err}
	}
	if err := l.DropSnapshots(ctx); err != nil {
		return nil, err
	}
	volumes, err := l.h.volumesOf(ctx, g)
	if err == nil {
		_, err = l.h.activate(ctx, g)
	}
	if err != nil {
		return nil, &Error{Op: "snapshot", Name: g.Name, Err: err}
	}
	snapshots := make(map[string]lvm.Volume, len(volumes))
	for i, v := range volumes {
		s, err := l.h.volumes.Snapshot(ctx, v.ID, g.Disks[i].SnapshotName(), &lvm.SnapshotOptions{
			Tags: []string{guestTag(g.UUID), stateMove},
		})
		if err != nil {
			return nil, errors.Join(&Error{Op: "snapshot", Name: g.Name, Err: err}, l.DropSnapshots(ctx))
		}
		snapshots[g.Disks[i].Dev] = s
	}
	return snapshots, nil
}

// DropSnapshots removes the snapshots that a move made; there being none is no
// error.
func (l *Hold) DropSnapshots(ctx context.Context) error {
	g, err := l.Definition()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	snapshots, err := l.h.snapshotsOf(ctx, g)
	if err != nil {
		return err
	}
	for _, s := range snapshots {
		if err := l.h.volumes.Remove(ctx, s.ID); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &Error{Op: "drop snapshot of", Name: g.Name, Err: err}
		}
	}
	return nil
}

// Fence makes the guest's volumes unusable on this host: marked, kept from
// activation by any boot script, and without a device node; each of that was
// looked at when it returns nil. The domain must be gone. A second Fence
// finishes a first one. The record is the caller's to write, after this.
//
//	lvchange -ky --addtag xenhost.state=fenced guests/web1 && lvchange -an guests/web1
func (l *Hold) Fence(ctx context.Context, epoch uint64) error {
	if err := l.fence(ctx, epoch); err != nil {
		return &Error{Op: "fence", Name: l.name(), Err: err}
	}
	l.h.log.Info("fenced", "guest", l.id, "epoch", epoch)
	return nil
}

func (l *Hold) fence(ctx context.Context, epoch uint64) error {
	if d, err := l.Domain(ctx); err != nil || d != nil {
		if err == nil {
			err = fmt.Errorf("its domain %d is %s", d.ID, d.State)
		}
		return err
	}
	g, err := l.Definition()
	if err != nil {
		return err
	}
	if err := errors.Join(l.DropSnapshots(ctx), l.endReplication(ctx, g)); err != nil {
		return err
	}
	volumes, err := l.h.volumesOf(ctx, g)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if err := l.h.volumes.SetSkip(ctx, v.ID, true); err != nil {
			return err
		}
		if err := l.h.mark(ctx, v, stateFenced, epoch); err != nil {
			return err
		}
		if err := l.h.volumes.Deactivate(ctx, v.ID); err != nil {
			return err
		}
		now, err := l.h.volumes.Volume(ctx, v.ID)
		if err != nil {
			return err
		}
		if !fencedNow(now, l.id) {
			return fmt.Errorf("volume %s is not fenced after the change: active %t, skip %t, tags %v", v.ID, now.Active, now.Skip, now.Tags)
		}
	}
	return nil
}

// fencedNow tells whether a volume of guest id can not be started from.
func fencedNow(v lvm.Volume, id uuid.UUID) bool {
	return belongs(v, id) && !v.Active && v.Skip && state(v) == stateFenced
}

// Unfence is the reverse of Fence, for the host that keeps the guest or gets
// it back; a definition that was put aside is in force again. A second Unfence
// does nothing.
func (l *Hold) Unfence(ctx context.Context) error {
	_, err := l.h.guests.get(l.id, own)
	if errors.Is(err, fs.ErrNotExist) {
		err = l.h.guests.rename(l.id, released, own)
	}
	g, defErr := l.Definition()
	if err = errors.Join(err, defErr); err == nil {
		err = l.h.unmark(ctx, g)
	}
	if err != nil {
		return &Error{Op: "unfence", Name: l.name(), Err: err}
	}
	return nil
}

// unmark puts a guest's volumes into use: no state, no skip flag, active.
func (h *Host) unmark(ctx context.Context, g Guest) error {
	volumes, err := h.volumesOf(ctx, g)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if err := h.mark(ctx, v, "", 0); err != nil {
			return err
		}
		if v.Skip {
			if err := h.volumes.SetSkip(ctx, v.ID, false); err != nil {
				return err
			}
		}
		if !v.Active {
			if err := h.volumes.Activate(ctx, v.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// PutAside ends what this host did for a guest that it handed away: forwards,
// ports and rates are removed, the definition is kept as UUID.released.json, the
// volumes stay as they are, fenced. It can be repeated.
func (l *Hold) PutAside(ctx context.Context) error {
	err := errors.Join(l.h.removeNetwork(ctx, l.id), l.h.unshape(ctx, l.id))
	// A copy that was committed and never adopted lies as incoming.
	for _, k := range []kind{incoming, own} {
		if err == nil {
			err = l.h.guests.rename(l.id, k, released)
		}
	}
	if err != nil {
		return &Error{Op: "put aside", Name: l.name(), Err: err}
	}
	return nil
}
