package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/host/owner"
)

// Terminate ends a guest for good: the plug is pulled, its forwards, volumes,
// definition and record are removed. Nothing else is ever removed by this
// package. A guest that was handed to another host loses only what is left of
// it here, and so does one of which a replica is kept here; one that is in the middle of a move is refused.
//
// The next owner of the extents reads zeros: see lvm.Maker.Create.
func (h *Host) Terminate(ctx context.Context, id uuid.UUID) error {
	l, err := h.Hold(id)
	if err != nil {
		return err
	}
	defer l.Release()
	if err := l.terminate(ctx); err != nil {
		return &Error{Op: "terminate", Name: id.String(), Err: err}
	}
	return nil
}

func (l *Hold) terminate(ctx context.Context) error {
	r, err := l.Record()
	if err != nil {
		return err
	}
	switch r.State {
	case owner.Building, owner.Running, owner.Released, owner.Aborted, owner.Replica:
	case "":
		return fs.ErrNotExist
	default:
		return fmt.Errorf("%w: a move with %s is %s; resume it first", ErrNotOwner, r.Peer, r.State)
	}
	g, err := l.Definition()
	if errors.Is(err, fs.ErrNotExist) {
		return l.h.owners.Remove(l.id)
	}
	if err != nil {
		return err
	}
	if err := l.unborn(ctx, g); err != nil {
		return err
	}
	return l.demolish(ctx, g)
}

// demolish removes all that carries the guest's mark. It can be repeated: the
// definition, which names the volumes, goes last but for the record.
func (l *Hold) demolish(ctx context.Context, g Guest) error {
	h := l.h
	if err := h.domains.Destroy(ctx, l.id); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := errors.Join(h.removeNetwork(ctx, l.id), h.unshape(ctx, l.id)); err != nil {
		return err
	}
	if err := errors.Join(l.DropSnapshots(ctx), l.dropReplicaSnapshots(ctx, g, "")); err != nil {
		return err
	}
	if err := l.dropRollback(ctx, g); err != nil {
		return err
	}
	for _, d := range g.Disks {
		v, err := h.volumes.Volume(ctx, d.Volume)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !belongs(v, l.id) {
			continue // a volume of that name was there before us; it is not ours
		}
		if err := h.volumes.Remove(ctx, v.ID); err != nil {
			return err
		}
	}
	for _, k := range []kind{incoming, released, replica, own} {
		if err := h.guests.remove(l.id, k); err != nil {
			return err
		}
	}
	if err := errors.Join(os.RemoveAll(h.ReplicaDir(l.id)), os.RemoveAll(h.replicating(l.id))); err != nil {
		return err
	}
	return h.owners.Remove(l.id)
}
