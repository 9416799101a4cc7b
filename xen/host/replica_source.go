package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
)

// ReplicaSnapshot is a snapshot of a disk that a replica is made of.
type ReplicaSnapshot struct {
	Dev string
	Run uuid.UUID // of the caller who made it
	lvm.Volume
}

// ReplicaSnapshotID is the name of the snapshot that SnapshotFor makes of a disk.
func ReplicaSnapshotID(d Disk, run uuid.UUID) lvm.ID {
	return lvm.ID{Group: d.Volume.Group, Name: d.Volume.Name + "-" + run.String()[:8]}
}

// SnapshotFor makes a snapshot of each of the guest's volumes for the replica
// that peer keeps; they outlast the hold, and those of other runs stay. room is
// what each has for blocks that the guest writes meanwhile, in bytes; 0 is
// enough for any. The disks of a guest that runs are caught one after the other.
//
//	lvcreate -s -c 4k -l 100%ORIGIN -n web1-disk-3f2a9c01 --addtag xenhost.peer=islay guests/web1-disk
func (l *Hold) SnapshotFor(ctx context.Context, peer string, run uuid.UUID, room int64) ([]ReplicaSnapshot, error) {
	g, all, err := l.snapshotFor(ctx, peer, run, room)
	if err != nil {
		return nil, &Error{Op: "snapshot", Name: l.name(), Err: errors.Join(err, l.dropRun(ctx, g, peer, run))}
	}
	return all, nil
}

func (l *Hold) snapshotFor(ctx context.Context, peer string, run uuid.UUID, room int64) (g Guest, all []ReplicaSnapshot, err error) {
	r, err := l.Record()
	if err == nil {
		err = r.MayRun()
	}
	if err == nil {
		g, err = l.h.guests.get(l.id, own)
	}
	if err == nil {
		_, err = l.h.activate(ctx, g)
	}
	if err == nil && len(g.Shared) > 0 {
		err = fmt.Errorf("%w: shared disks are in no replica", errors.ErrUnsupported)
	}
	if err != nil {
		return g, nil, err
	}
	for _, d := range g.Disks {
		v, err := l.h.volumes.Snapshot(ctx, d.Volume, ReplicaSnapshotID(d, run).Name, &lvm.SnapshotOptions{
			Size: room, Tags: []string{guestTag(g.UUID), stateSent, tagPeer + peer, tagRun + run.String()},
		})
		if err != nil {
			return g, all, err
		}
		all = append(all, ReplicaSnapshot{Dev: d.Dev, Run: run, Volume: v})
	}
	return g, all, nil
}

// SnapshotsFor returns what SnapshotFor made and is there still; peer "" is of
// all peers. It looks and does not hold the guest.
func (h *Host) SnapshotsFor(ctx context.Context, id uuid.UUID, peer string) ([]ReplicaSnapshot, error) {
	g, err := h.definition(id)
	if err != nil {
		return nil, err
	}
	return h.snapshotsFor(ctx, g, peer)
}

func (h *Host) snapshotsFor(ctx context.Context, g Guest, peer string) ([]ReplicaSnapshot, error) {
	var all []ReplicaSnapshot
	for _, group := range groupsOf(g) {
		volumes, err := h.volumes.Volumes(ctx, group)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, v := range volumes {
			if !belongs(v, g.UUID) || state(v) != stateSent || v.Origin == "" || peer != "" && !slices.Contains(v.Tags, tagPeer+peer) {
				continue
			}
			s := ReplicaSnapshot{Volume: v}
			for _, t := range tagged(v, tagRun) {
				s.Run, _ = uuid.Parse(strings.TrimPrefix(t, tagRun)) // of no run, if somebody changed it
			}
			for _, d := range g.Disks {
				if d.Volume == (lvm.ID{Group: v.Group, Name: v.Origin}) {
					s.Dev = d.Dev
				}
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// DropSnapshotsFor removes what SnapshotFor made for a peer, but not of the runs
// in keep; there being none is no error.
func (l *Hold) DropSnapshotsFor(ctx context.Context, peer string, keep ...uuid.UUID) error {
	g, err := l.Definition()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = l.dropReplicaSnapshots(ctx, g, peer, keep...)
	}
	if err != nil {
		return &Error{Op: "drop snapshot of", Name: l.name(), Err: err}
	}
	return nil
}

func (l *Hold) dropReplicaSnapshots(ctx context.Context, g Guest, peer string, keep ...uuid.UUID) error {
	all, err := l.h.snapshotsFor(ctx, g, peer)
	errs := []error{err}
	for _, s := range all {
		if slices.Contains(keep, s.Run) {
			continue
		}
		if err := l.h.volumes.Remove(ctx, s.ID); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("snapshot %s: %w", s.ID, err))
		}
	}
	return errors.Join(errs...)
}

// dropRun removes what one run made.
func (l *Hold) dropRun(ctx context.Context, g Guest, peer string, run uuid.UUID) error {
	all, err := l.h.snapshotsFor(context.WithoutCancel(ctx), g, peer)
	errs := []error{err}
	for _, s := range all {
		if s.Run == run {
			errs = append(errs, l.h.volumes.Remove(context.WithoutCancel(ctx), s.ID))
		}
	}
	return errors.Join(errs...)
}

// endReplication removes what any run made, and waits for a run that reads it:
// each looks at the owner record several times a second, and ends when the guest
// is being given away.
func (l *Hold) endReplication(ctx context.Context, g Guest) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		err := l.dropReplicaSnapshots(ctx, g, "")
		if !errors.Is(err, lvm.ErrBusy) {
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return err
		}
	}
}
