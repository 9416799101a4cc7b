package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// ReplicaDir is the folder of what is remembered of a guest's replica that is
// kept here. Terminate removes it.
func (h *Host) ReplicaDir(id uuid.UUID) string {
	return filepath.Join(filepath.Dir(h.guests.dir), "replicas", id.String())
}

// ReplicatingDir is the folder of what is remembered here of the replica of a
// guest of ours that a peer keeps. Terminate removes it.
func (h *Host) ReplicatingDir(id uuid.UUID, peer string) string {
	return filepath.Join(h.replicating(id), peer)
}

func (h *Host) replicating(id uuid.UUID) string {
	return filepath.Join(filepath.Dir(h.guests.dir), "replicating", id.String())
}

// KeepReplica makes room for a replica of a guest of another host: its record is
// Replica, its definition is kept as UUID.replica.json, and each volume is there,
// marked, with the activation-skip flag, and open for writing until RestReplica.
// A volume that is smaller than its disk grows. It trusts nothing of g.
//
// forget is called, by Disk.Dev, before a volume is made or taken over whose
// content is not the replica's: what is remembered of it must be gone, durably,
// when it returns. fresh tells which volumes read as zeros now.
//
// Refused: what Receive refuses of the definition, the name and the volumes. The
// record and the volumes of a guest that was handed away become the replica's.
func (l *Hold) KeepReplica(ctx context.Context, g Guest, epoch uint64, from string, forget func(dev string) error) (fresh map[string]bool, err error) {
	if fresh, err = l.keepReplica(ctx, g, epoch, from, forget); err != nil {
		return nil, &Error{Op: "keep replica of", Name: g.Name, Err: err}
	}
	return fresh, nil
}

func (l *Hold) keepReplica(ctx context.Context, g Guest, epoch uint64, from string, forget func(dev string) error) (map[string]bool, error) {
	if g.UUID != l.id {
		return nil, fmt.Errorf("%w: definition of %s", ErrInvalid, g.UUID)
	}
	if err := g.Validate(); err != nil {
		return nil, err
	}
	if !xen.ValidName(from) || from == l.h.name {
		return nil, fmt.Errorf("%w: a replica of a guest of the host %q", ErrInvalid, from)
	}
	r, err := l.Record()
	if err != nil {
		return nil, err
	}
	if r.State != "" && r.MayRun() == nil {
		return nil, fmt.Errorf("%w: this host owns the guest (epoch %d)", fs.ErrExist, r.Epoch)
	}
	if err := l.h.nameFree(g); err != nil {
		return nil, err
	}
	// A move to here that was given up has left an epoch that nobody owned.
	to := owner.Record{UUID: l.id, State: owner.Replica, Epoch: max(epoch, r.Epoch), Peer: from}
	if r.State != to.State || r.Epoch != to.Epoch || r.Peer != to.Peer {
		if err := l.SetRecord(to); err != nil {
			return nil, err
		}
	}
	if err := l.h.guests.put(g, replica); err != nil {
		return nil, err
	}
	for _, k := range []kind{incoming, released} {
		if err := l.h.guests.remove(l.id, k); err != nil {
			return nil, err
		}
	}
	fresh := make(map[string]bool, len(g.Disks))
	for _, d := range g.Disks {
		if fresh[d.Dev], err = l.keepDisk(ctx, d, to.Epoch, forget); err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

func (l *Hold) keepDisk(ctx context.Context, d Disk, epoch uint64, forget func(dev string) error) (fresh bool, err error) {
	volumes := l.h.volumes
	v, err := volumes.Volume(ctx, d.Volume)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := forget(d.Dev); err != nil {
			return false, err
		}
		v, err = volumes.Create(ctx, lvm.Spec{
			ID: d.Volume, Size: d.Size, Pool: d.Pool, Skip: true,
			Tags: []string{guestTag(l.id), stateReplica, tagEpoch + strconv.FormatUint(epoch, 10)},
		})
		fresh = true
	case err == nil && !belongs(v, l.id):
		return false, fmt.Errorf("volume %s: %w", v.ID, ErrForeign)
	case err == nil && v.Unwiped(): // an attempt ended in the middle of the wipe
		if err = forget(d.Dev); err == nil {
			err = volumes.Wipe(ctx, v.ID)
		}
		fresh = true
	case err == nil && state(v) != stateReplica:
		err = forget(d.Dev)
	}
	if err != nil {
		return false, err
	}
	if err := volumes.SetSkip(ctx, v.ID, true); err != nil {
		return false, err
	}
	if v, err = volumes.Volume(ctx, v.ID); err == nil {
		err = l.h.mark(ctx, v, stateReplica, epoch)
	}
	if err == nil {
		err = volumes.Activate(ctx, v.ID)
	}
	if err == nil && v.Size < d.Size {
		v, err = volumes.Grow(ctx, v.ID, d.Size)
	}
	if err == nil && v.Size != d.Size {
		err = fmt.Errorf("%w: volume %s has %d bytes here, not %d", ErrInvalid, v.ID, v.Size, d.Size)
	}
	return fresh, err
}

// RestReplica takes the device nodes of a replica's volumes away, so that until
// the next KeepReplica nobody can write to them or start from them. There being
// no replica is no error.
func (l *Hold) RestReplica(ctx context.Context) error {
	r, err := l.Record()
	if err != nil || r.State != owner.Replica {
		return err
	}
	g, err := l.h.guests.get(l.id, replica)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range g.Disks {
		v, err := l.h.volumes.Volume(ctx, d.Volume)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err == nil && v.Active && belongs(v, l.id) && state(v) == stateReplica:
			err = l.h.volumes.Deactivate(ctx, v.ID)
		}
		if err != nil {
			return &Error{Op: "rest replica of", Name: g.Name, Err: err}
		}
	}
	return nil
}

// DropReplicaDisk removes the volume of a disk that a replica had and that its
// guest has no more. One that is not there, or is not the replica's, is left as
// it is.
func (l *Hold) DropReplicaDisk(ctx context.Context, d Disk) error {
	v, err := l.h.volumes.Volume(ctx, d.Volume)
	if err == nil && belongs(v, l.id) && state(v) == stateReplica {
		err = l.h.volumes.Remove(ctx, v.ID)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &Error{Op: "drop replica of", Name: l.name(), Err: err}
	}
	return nil
}

// restReplicas is RestReplica of all that are on and that nobody holds: whoever
// wrote to them was killed. Each volume group is read once.
func (h *Host) restReplicas(ctx context.Context, records []owner.Record) error {
	seen := make(map[string][]lvm.Volume)
	var errs []error
	for _, r := range records {
		if r.State != owner.Replica {
			continue
		}
		on, err := h.isOn(ctx, r.UUID, seen)
		if on {
			var l *Hold
			if l, err = h.Hold(r.UUID); err == nil {
				err = l.RestReplica(ctx)
				l.Release()
			}
		}
		if !errors.Is(err, ErrBusy) && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// isOn tells whether a volume of a guest is active; seen keeps what was read of
// the volume groups.
func (h *Host) isOn(ctx context.Context, id uuid.UUID, seen map[string][]lvm.Volume) (bool, error) {
	g, err := h.definition(id)
	if err != nil {
		return false, err
	}
	for _, group := range groupsOf(g) {
		if _, ok := seen[group]; !ok {
			if seen[group], err = h.volumes.Volumes(ctx, group); err != nil {
				return false, err
			}
		}
		for _, v := range seen[group] {
			if v.Active && belongs(v, id) {
				return true, nil
			}
		}
	}
	return false, nil
}

// PromoteReplica makes a replica this host's guest, as g says, with an epoch
// above the one that it was copied in: record, volumes, ports, forwards and
// rates. It does not start it. That no other host runs it, and that the volumes
// hold something whole, is the caller's to know. One that was cut is finished by
// a second one.
//
// word is what an operator vouches for; it is in the owner record from then on. It
// may be empty, if something else proves it.
//
// Refused, with nothing changed: no replica, too little memory, rates that the
// uplink here can not promise.
func (l *Hold) PromoteReplica(ctx context.Context, g Guest, word owner.Override) error {
	if err := l.promote(ctx, g, word); err != nil {
		return &Error{Op: "promote", Name: g.Name, Err: err}
	}
	return nil
}

func (l *Hold) promote(ctx context.Context, g Guest, word owner.Override) error {
	r, err := l.Record()
	if err != nil {
		return err
	}
	switch {
	case g.UUID != l.id:
		return fmt.Errorf("%w: definition of %s", ErrInvalid, g.UUID)
	case r.State == "":
		return fs.ErrNotExist
	case r.State == owner.Replica:
		err = errors.Join(g.Validate(), l.h.nameFree(g), l.h.checkRates(ctx, g), l.h.domains.Check(ctx, g.Spec(g.Devices())))
		if err == nil {
			_, err = l.h.volumesOf(ctx, g)
		}
		if err == nil {
			err = l.h.guests.put(g, incoming)
		}
		if err == nil {
			r = owner.Record{UUID: l.id, State: owner.Committed, Epoch: r.Epoch + 1, Peer: r.Peer, Move: uuid.New(), Override: word}
			err = l.SetRecord(r)
		}
	case r.State != owner.Committed:
		err = fmt.Errorf("%w: its record here is %s, not %s", ErrInvalid, r.State, owner.Replica)
	}
	if err != nil {
		return err
	}
	if err := l.adopt(ctx); err != nil {
		return err
	}
	return l.SetRecord(owner.Record{UUID: l.id, State: owner.Running, Epoch: r.Epoch, Override: r.Override})
}
