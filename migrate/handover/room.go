package handover

import (
	"fmt"
	"slices"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen/host"
)

// room says why the disks of a guest would not fit into a group.
func room(g host.Guest, group lvm.Group, have []lvm.Volume, disks []host.Disk) (problems []string) {
	for _, d := range disks {
		if i := slices.IndexFunc(have, func(v lvm.Volume) bool { return v.Name == d.Volume.Name }); i >= 0 {
			v := have[i]
			switch {
			case !g.Owns(v):
				problems = append(problems, fmt.Sprintf("volume %s exists there and is not this guest's", v.ID))
			case v.Size != d.Size:
				problems = append(problems, fmt.Sprintf("volume %s has %d bytes there, not %d", v.ID, v.Size, d.Size))
			}
			continue
		}
		size, err := lvm.Fits(group, have, lvm.Spec{ID: d.Volume, Size: d.Size, Pool: d.Pool})
		switch {
		case err != nil:
			problems = append(problems, fmt.Sprintf("volume %s: %v", d.Volume, err))
			continue
		case size != d.Size:
			problems = append(problems, fmt.Sprintf("volume %s would have %d bytes there, not %d: the extent sizes differ", d.Volume, size, d.Size))
		}
		v := lvm.Volume{ID: d.Volume, Size: size, Kind: lvm.Thick, Pool: d.Pool}
		if d.Pool == "" {
			group.Free -= size
		} else {
			v.Kind = lvm.Thin
		}
		have = append(slices.Clone(have), v)
	}
	return problems
}

// snapshotRoom says why snapshots of the disks could not be made in a group, and
// why not another of one disk beside them, as each round needs. Those that an
// earlier attempt left are removed first, so they count as room.
func snapshotRoom(group lvm.Group, have []lvm.Volume, disks []host.Disk) (one, another []string) {
	for _, d := range disks {
		have = slices.DeleteFunc(slices.Clone(have), func(v lvm.Volume) bool {
			if v.Name != d.SnapshotName() && v.Name != d.NextSnapshotName() {
				return false
			}
			if v.Kind == lvm.Snapshot {
				group.Free += group.Round(lvm.SnapshotRoom(v.Size))
			}
			return true
		})
	}
	for _, d := range disks {
		size, err := lvm.FitsSnapshot(group, have, d.Volume.Name, d.SnapshotName(), nil)
		if err != nil {
			one = append(one, fmt.Sprintf("snapshot of %s: %v", d.Volume, err))
			continue
		}
		if d.Pool == "" {
			group.Free -= size
		}
	}
	for _, d := range disks {
		if _, err := lvm.FitsSnapshot(group, have, d.Volume.Name, d.NextSnapshotName(), nil); err != nil {
			another = append(another, fmt.Sprintf("second snapshot of %s, for the time of a round: %v", d.Volume, err))
		}
	}
	return one, another
}
