package lvm

import (
	"context"
	"io"
)

// ID names a volume: the group and its name in it.
type ID struct {
	Group string `json:"group"`
	Name  string `json:"name"`
}

// String is the form lvm(8) takes: group/name.
func (id ID) String() string { return id.Group + "/" + id.Name }

// Group is a volume group.
type Group struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`   // bytes
	Free   int64  `json:"free"`   // bytes
	Extent int64  `json:"extent"` // bytes; sizes of volumes are multiples of it
}

// Volume is a logical volume as LVM shows it.
type Volume struct {
	ID
	Size   int64    `json:"size"` // bytes
	Kind   Kind     `json:"kind"`
	Origin string   `json:"origin,omitempty"` // of a snapshot: the name of its origin, in the same group
	Pool   string   `json:"pool,omitempty"`   // of a thin volume or snapshot: its pool
	Tags   []string `json:"tags,omitempty"`   // sorted
	// Active tells that the device node is there.
	Active bool `json:"active"`
	// Open tells that something (a domain, a mount) has the device open; a pool
	// never is.
	Open bool `json:"open"`
	// Skip is the activation-skip flag: neither vgchange -ay nor lvchange -ay
	// activates the volume; Activate does.
	Skip bool `json:"skip"`
	// Path is the device node, as /dev/guests/web1-disk; of a Fake's volume a
	// regular file.
	Path string `json:"path"`
}

// Kind is what a volume is made of.
type Kind string

// Thick volumes have all their extents from the start, thin ones take them
// from a pool when they are written.
const (
	Thick    Kind = "thick"
	Thin     Kind = "thin"
	Snapshot Kind = "snapshot" // a thick volume's copy on write; a thin snapshot is Thin with an Origin
	Pool     Kind = "pool"     // a thin pool; it holds thin volumes and no data of its own
	Other    Kind = "other"    // what this package does not handle (mirror, raid, cache)
)

// Spec says what Create makes.
type Spec struct {
	ID
	Size int64    // bytes, at least 1; rounded up to whole extents
	Pool string   // the thin pool to take it from; "" is a thick volume
	Tags []string // see ValidTag
	// Skip sets the activation-skip flag, so that no boot script activates it.
	Skip bool
	// Inactive leaves the volume without a device node.
	Inactive bool
	// Unwiped makes a thick volume that still holds its former owner's bytes:
	// inactive, with TagWiping and the activation-skip flag, whatever the
	// fields above say. Activate, Open and Snapshot refuse it with ErrUnwiped
	// until Wipe. Create without Unwiped is both steps in one.
	Unwiped bool
}

// Reader sees groups and volumes.
type Reader interface {
	// Groups returns all volume groups, ordered by name.
	Groups(ctx context.Context) ([]Group, error)
	// Volumes returns the volumes of a group, ordered by name; hidden ones
	// (a pool's parts) are left out. No such group: fs.ErrNotExist.
	Volumes(ctx context.Context, group string) ([]Volume, error)
	// Volume returns one volume, or fs.ErrNotExist.
	Volume(ctx context.Context, id ID) (Volume, error)
}

// Maker makes and removes volumes.
type Maker interface {
	// Create makes a volume that reads as zeros, whoever owned its extents
	// before. A thick one is wiped before it can be activated by anyone but
	// this package: until then it carries TagWiping and the activation-skip
	// flag, so a crash in the middle leaves a volume that nothing hands out;
	// Create of the same ID and size then finishes the wipe.
	//
	// fs.ErrExist: there is such a volume. ErrNoSpace, fs.ErrNotExist (group
	// or pool) and ErrInvalid are the other refusals. Thin volumes, snapshots
	// included, do not promise more than their pool holds, unless that carries
	// TagOversell. An error that is ErrUnwiped left the volume behind, marked;
	// ErrBusy says that another one wipes it now.
	Create(ctx context.Context, spec Spec) (Volume, error)
	// Wipe zeroes a volume that carries TagWiping, looks at samples of it,
	// takes the tag away and leaves it inactive with the activation-skip
	// flag. Any other volume is refused with ErrInvalid: it has an owner.
	// An error that is ErrUnwiped leaves the tag; call it again.
	Wipe(ctx context.Context, id ID) error
	// Snapshot makes an active copy on write of an active origin, in the same
	// group. A thick snapshot is active while its origin is. While it exists,
	// each first write to a 4 KiB chunk of the origin costs three; when its
	// room is full it becomes invalid and the origin is unharmed. A thin one
	// takes blocks of the pool as it and its origin part: see Guard.
	Snapshot(ctx context.Context, origin ID, name string, opts *SnapshotOptions) (Volume, error)
	// Remove removes a volume that nobody has open and on which no thick
	// snapshot and no thin volume of a pool depends (else ErrBusy). Its
	// content stays on the disk until Create wipes it for the next owner.
	Remove(ctx context.Context, id ID) error
}

// SnapshotOptions sets what a snapshot gets; nil is the defaults.
type SnapshotOptions struct {
	Size int64    // bytes for changed blocks of a thick origin; 0: as much as the origin has, so that it can not overflow
	Tags []string // see ValidTag
}

// Switch turns volumes on and off and marks them.
type Switch interface {
	// Activate makes the device node, also of a volume with the
	// activation-skip flag (lvchange -ay -K), and looks whether it is there.
	// A volume that is being wiped is refused with ErrUnwiped, a thick
	// snapshot, which goes with its origin, with errors.ErrUnsupported.
	Activate(ctx context.Context, id ID) error
	// Deactivate removes the device node and looks whether it is gone. A
	// volume that is open stays active: ErrBusy. Its thick snapshots go with
	// it; a thick snapshot alone is errors.ErrUnsupported.
	Deactivate(ctx context.Context, id ID) error
	// SetSkip sets or clears the activation-skip flag; it turns nothing on or
	// off. Of a thick snapshot: errors.ErrUnsupported.
	SetSkip(ctx context.Context, id ID, skip bool) error
	// Tag adds and removes tags in one change of the metadata. A tag to
	// remove that is not there is no error. TagWiping is not to be touched
	// here: ErrInvalid.
	Tag(ctx context.Context, id ID, add, remove []string) error
}

// Reshaper alters volumes that are there.
type Reshaper interface {
	// Grow gives a volume size bytes, rounded up to whole extents, also while
	// a domain has it open; what is added reads as zeros. A volume that has
	// the size is returned as it is, a smaller size is refused (ErrInvalid): it
	// would cut off data. ErrNoSpace is as of Create. A thick volume with thick
	// snapshots is ErrBusy, a thick snapshot errors.ErrUnsupported: see
	// GrowRoom. Of a pool it is the room for data that grows.
	Grow(ctx context.Context, id ID, size int64) (Volume, error)
	// GrowRoom gives what can run full more room while it is in use: a thick
	// snapshot size bytes for changed blocks (no more than it can ever need), a
	// pool size bytes for metadata; rounded up to whole extents. It returns
	// how full it is then. What has the room is left as it is, less is
	// refused (ErrInvalid). ErrNoSpace is as of Create; of a pool the
	// spare room that LVM repairs metadata with grows too. Of any other volume
	// it is errors.ErrUnsupported; the errors of Gauge come as there.
	GrowRoom(ctx context.Context, id ID, size int64) (Fill, error)
	// Rename gives a volume another name in its group, also while it is open:
	// whoever knows it by its path must be told. Origin and Pool of others
	// follow. A name that is taken is fs.ErrExist.
	Rename(ctx context.Context, id ID, name string) (Volume, error)
	// Merge gives the origin the content of its snapshot and removes the
	// snapshot; the origin, which keeps its name and tags, is returned. Both
	// must be closed (ErrBusy), the origin active (ErrInactive), and their
	// sizes equal (ErrInvalid: the origin has grown since). Other thin
	// snapshots of the origin become volumes of their own, those of the
	// snapshot become the origin's. A merge that runs is not stopped by ctx;
	// from its start the origin reads as the snapshot did.
	Merge(ctx context.Context, snapshot ID) (Volume, error)
}

// Pooler makes thin pools.
type Pooler interface {
	// CreatePool makes a thin pool that zeroes its blocks before it hands
	// them out. It takes room of the group for its data, its metadata, and
	// once more that for LVM to repair the metadata with. fs.ErrExist,
	// fs.ErrNotExist, ErrNoSpace and ErrInvalid are as of Create. Remove
	// removes it once it is empty.
	CreatePool(ctx context.Context, spec PoolSpec) (Volume, error)
}

// PoolSpec says what CreatePool makes.
type PoolSpec struct {
	ID
	Size     int64    // bytes for data, at least 1; rounded up to whole extents
	Metadata int64    // bytes for metadata, rounded likewise; 0: 64 for each block, at least 2 MiB
	Block    int64    // bytes of a block, a multiple of 64 KiB up to 1 GiB; 0 is 64 KiB
	Tags     []string // see ValidTag
	// Oversell adds TagOversell: the volumes of the pool may promise more than
	// it holds, and somebody must watch its Fill.
	Oversell bool
}

// Gauge sees how full what can run full is.
type Gauge interface {
	// Fill reads from the kernel, without LVM and its locks, how full the room
	// of a thick snapshot or a thin pool is. ErrSnapshotInvalid: the snapshot
	// has overflowed; ErrPoolFailed: the pool takes no writes. Of any other
	// volume it is errors.ErrUnsupported, also of a thin one: ask its pool.
	Fill(ctx context.Context, id ID) (Fill, error)
}

// Content reaches what is on volumes.
type Content interface {
	// Open opens an active volume (ErrInactive) for reading and writing.
	// Writes reach the disk when Sync returns.
	Open(ctx context.Context, id ID) (Device, error)
	// Changed returns where the origin may differ from the snapshot, in bytes
	// of the origin: ascending, without overlap, and as few extents as there
	// can be. A thick snapshot knows chunks of 4 KiB, a thin one the blocks of
	// its pool, 64 KiB or more; the end of the volume may cut the last one.
	// For the exact answer nobody may be writing. A thin snapshot may be off;
	// what else is off is ErrInactive. ErrSnapshotInvalid: it overflowed and
	// knows no more; the origin is unharmed. ErrBusy: somebody who is not of
	// this package reads the pool's metadata.
	Changed(ctx context.Context, snapshot ID) ([]Extent, error)
}

// Device is an open volume. ReadAt and WriteAt work at any offset and length
// inside it and may be called at the same time.
type Device interface {
	io.ReaderAt
	io.WriterAt
	// Zero makes length bytes at offset read as zeros (BLKZEROOUT).
	Zero(offset, length int64) error
	// Size is in bytes.
	Size() int64
	// Sync returns when all that was written is on the disk.
	Sync() error
	io.Closer
}

// Manager is all of it: Client and lvmtest.Fake.
type Manager interface {
	Reader
	Maker
	Switch
	Reshaper
	Pooler
	Gauge
	Content
}
