package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
)

// The tags that a guest's volumes carry. They travel with the volume group and
// every LVM tool shows them.
const (
	tagGuest = "xenhost.guest=" // + UUID: the guest that the volume belongs to
	tagState = "xenhost.state=" // + one of the states below; none: in use by its guest
	tagEpoch = "xenhost.epoch=" // + number: since which epoch it is fenced or received

	stateBuilding  = tagState + "building"  // of a guest whose provisioning has not finished
	stateFenced    = tagState + "fenced"    // handed to another host
	stateReceiving = tagState + "receiving" // a copy is arriving on a volume made for it
	stateRenewing  = tagState + "renewing"  // a copy is arriving on what was fenced before
	stateMove      = tagState + "move"      // a snapshot that a move reads
	statePromoting = tagState + "promoting" // is being given the content of a clone, or of what was before one
	stateRollback  = tagState + "rollback"  // a snapshot that is what a guest was before a promotion
	stateReplica   = tagState + "replica"   // a copy of what runs elsewhere
	stateSent      = tagState + "sent"      // a snapshot that a replica is made of

	tagPeer = "xenhost.peer=" // + name: the host that keeps the replica that a snapshot is for
	tagRun  = "xenhost.run="  // + UUID: the run that made that snapshot
)

// The ends of the names of snapshots that a move makes: two take turns.
const (
	snapshotSuffix = "-move"
	nextSuffix     = "-next"
)

// SnapshotName is the name of the snapshot that a move makes of this volume.
func (d Disk) SnapshotName() string { return d.Volume.Name + snapshotSuffix }

// NextSnapshotName is the name of the other one, with which it takes turns.
func (d Disk) NextSnapshotName() string { return d.Volume.Name + nextSuffix }

// Owns tells whether v carries the guest's mark.
func (g Guest) Owns(v lvm.Volume) bool { return belongs(v, g.UUID) }

// Tag is the mark that the guest's volumes carry.
func (g Guest) Tag() string { return guestTag(g.UUID) }

// guestTag marks a volume as this guest's.
func guestTag(id uuid.UUID) string { return tagGuest + id.String() }

// tagged returns the tags of v that start with prefix.
func tagged(v lvm.Volume, prefix string) []string {
	var found []string
	for _, t := range v.Tags {
		if strings.HasPrefix(t, prefix) {
			found = append(found, t)
		}
	}
	return found
}

// belongs tells whether v carries the mark of guest id.
func belongs(v lvm.Volume, id uuid.UUID) bool { return slices.Contains(v.Tags, guestTag(id)) }

// state returns the state tag of v, or "".
func state(v lvm.Volume) string {
	if tags := tagged(v, tagState); len(tags) > 0 {
		return tags[0]
	}
	return ""
}

// mark replaces the state and epoch tags of v in one metadata change. state ""
// is in use; epoch 0 leaves the epoch out.
func (h *Host) mark(ctx context.Context, v lvm.Volume, state string, epoch uint64) error {
	var add []string
	if state != "" {
		add = append(add, state)
	}
	if epoch != 0 {
		add = append(add, tagEpoch+strconv.FormatUint(epoch, 10))
	}
	remove := slices.Concat(tagged(v, tagState), tagged(v, tagEpoch))
	remove = slices.DeleteFunc(remove, func(t string) bool { return slices.Contains(add, t) })
	add = slices.DeleteFunc(add, func(t string) bool { return slices.Contains(v.Tags, t) })
	if len(add) == 0 && len(remove) == 0 {
		return nil
	}
	return h.volumes.Tag(ctx, v.ID, add, remove)
}

// volumesOf returns the volumes of a guest's disks, in their order, and
// refuses one that is missing or belongs to somebody else.
func (h *Host) volumesOf(ctx context.Context, g Guest) ([]lvm.Volume, error) {
	var all []lvm.Volume
	for _, d := range g.Disks {
		v, err := h.volumes.Volume(ctx, d.Volume)
		if err != nil {
			return nil, err
		}
		if !belongs(v, g.UUID) {
			return nil, fmt.Errorf("volume %s: %w", v.ID, ErrForeign)
		}
		all = append(all, v)
	}
	return all, nil
}

// snapshotsOf returns the snapshots that a move made of the guest's volumes.
func (h *Host) snapshotsOf(ctx context.Context, g Guest) ([]lvm.Volume, error) {
	var all []lvm.Volume
	for _, group := range groupsOf(g) {
		volumes, err := h.volumes.Volumes(ctx, group)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, v := range volumes {
			if belongs(v, g.UUID) && state(v) == stateMove {
				all = append(all, v)
			}
		}
	}
	return all, nil
}

// groupsOf returns the volume groups that a guest's disks are in, each once.
func groupsOf(g Guest) []string {
	var groups []string
	for _, d := range g.Disks {
		if !slices.Contains(groups, d.Volume.Group) {
			groups = append(groups, d.Volume.Group)
		}
	}
	return groups
}
