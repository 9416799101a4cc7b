package capacity

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
)

// Need is what a guest takes of a host.
type Need struct {
	// Memory is xen.Spec.Need: the guest's memory and what Xen needs beside it.
	Memory int64 `json:"memory"`
	// Volumes by what they should be. One that is there needs only what it is
	// to grow by.
	Volumes []Volume `json:"volumes,omitempty"`
}

// Volume is room that a guest takes of a volume group.
type Volume struct {
	lvm.ID        // without a name it is a new one, whatever it will be called
	Size   int64  `json:"size"`           // bytes, rounded up to whole extents
	Pool   string `json:"pool,omitempty"` // the thin pool, if it is a thin volume
}

// Headroom is what a host keeps free.
type Headroom struct {
	// Dom0 is memory that nobody gets, in bytes; 0 is 64 MiB. Xen and the
	// backends of networks and disks need some beside dom0's own.
	Dom0 int64 `json:"dom0,omitempty"`
	// Move is memory that no sale takes, in bytes, so that an incoming move
	// finds it: as much as the largest guest of the peer needs, or 0.
	Move int64 `json:"move,omitempty"`
	// Volumes is room in each volume group that no sale takes, in bytes: for
	// the snapshots that a move or a backup makes.
	Volumes int64 `json:"volumes,omitempty"`
}

// DefaultDom0 is Headroom.Dom0 unless it is set.
const DefaultDom0 = 64 << 20

// Guest is one that a host has promised to run.
type Guest struct {
	UUID uuid.UUID `json:"uuid"`
	Name string    `json:"name"`
	Need
}

// Host is a picture of what a host has left.
type Host struct {
	Name string `json:"name"`
	// Memory is what no domain has and nobody has been promised, in bytes; below
	// 0 if more was promised than there is.
	Memory   int64       `json:"memory"`
	Headroom Headroom    `json:"headroom"`
	Groups   []lvm.Group `json:"groups"` // Free is less what was promised
	// Volumes of each group, with those that are promised.
	Volumes map[string][]lvm.Volume `json:"volumes,omitempty"`
	// Guests that the host runs, or has promised to.
	Guests []Guest `json:"guests,omitempty"`
}

// Sell returns the host as it would be with one more guest, or why it can not
// have it: xen.ErrNoMemory, lvm.ErrNoSpace, fs.ErrNotExist (no such volume group
// or pool). The headroom stays free.
func (h Host) Sell(n Need) (Host, error) {
	return h.take(n, h.Headroom.dom0()+h.Headroom.Move, h.Headroom.Volumes)
}

// Receive is Sell for a guest that moves here: it may use Headroom.Move and
// Headroom.Volumes.
func (h Host) Receive(n Need) (Host, error) { return h.take(n, h.Headroom.dom0(), 0) }

// ForSale is the memory that can still be sold, in bytes; below 0 if the headroom
// is in use.
func (h Host) ForSale() int64 { return h.Memory - h.Headroom.dom0() - h.Headroom.Move }

func (h Headroom) dom0() int64 {
	if h.Dom0 == 0 {
		return DefaultDom0
	}
	return h.Dom0
}

func (h Host) take(n Need, memory, room int64) (Host, error) {
	if n.Memory > 0 && h.Memory-memory < n.Memory {
		return h, fmt.Errorf("%w on %s (%d MiB, of which %d stay free; needs %d)", xen.ErrNoMemory, h.Name, h.Memory>>20, memory>>20, n.Memory>>20)
	}
	after := h.Promise(Need{Memory: n.Memory})
	for _, v := range n.Volumes {
		v = after.named(v)
		if err := after.fits(v, room); err != nil {
			return h, fmt.Errorf("volume %s on %s: %w", v.ID, h.Name, err)
		}
		after = after.Promise(Need{Volumes: []Volume{v}})
	}
	return after, nil
}

// Promise returns the host as it is when a guest has been promised this, whether
// there is so much or not.
func (h Host) Promise(n Need) Host {
	h.Memory -= n.Memory
	h.Groups, h.Volumes = slices.Clone(h.Groups), maps.Clone(h.Volumes)
	if h.Volumes == nil {
		h.Volumes = make(map[string][]lvm.Volume)
	}
	for _, v := range n.Volumes {
		v = h.named(v)
		i := slices.IndexFunc(h.Groups, func(g lvm.Group) bool { return g.Name == v.Group })
		if i < 0 {
			continue
		}
		was, others := h.without(v.ID)
		size := h.Groups[i].Round(v.Size)
		if was.Size >= size {
			continue
		}
		kind := lvm.Thin
		if v.Pool == "" {
			kind = lvm.Thick
			h.Groups[i].Free -= size - was.Size
		}
		h.Volumes[v.Group] = append(others, lvm.Volume{ID: v.ID, Size: size, Kind: kind, Pool: v.Pool})
	}
	return h
}

// fits says why there is no room for a volume. What is there of it counts.
func (h Host) fits(v Volume, keep int64) error {
	i := slices.IndexFunc(h.Groups, func(g lvm.Group) bool { return g.Name == v.Group })
	if i < 0 {
		return fmt.Errorf("%w: volume group %s", fs.ErrNotExist, v.Group)
	}
	group := h.Groups[i]
	was, others := h.without(v.ID)
	if was.Size >= v.Size {
		return nil
	}
	if v.Pool == "" {
		group.Free = max(0, group.Free-keep+was.Size)
	}
	_, err := lvm.Fits(group, others, lvm.Spec{ID: v.ID, Size: v.Size, Pool: v.Pool})
	return err
}

// without returns what is there of a volume and the others of its group, in a
// slice of their own.
func (h Host) without(id lvm.ID) (was lvm.Volume, others []lvm.Volume) {
	others = slices.Clone(h.Volumes[id.Group])
	if i := slices.IndexFunc(others, func(v lvm.Volume) bool { return v.Name == id.Name }); i >= 0 {
		was = others[i]
		others = slices.Delete(others, i, i+1)
	}
	return was, others
}

// named gives a new volume a name that is free.
func (h Host) named(v Volume) Volume {
	for n := len(h.Volumes[v.Group]); v.Name == ""; n++ {
		name := fmt.Sprintf("new-%d", n)
		if was, _ := h.without(lvm.ID{Group: v.Group, Name: name}); was.Size == 0 {
			v.Name = name
		}
	}
	return v
}
