package lvm

import (
	"fmt"
	"io/fs"
)

// FitsGrow is Grow's dry run: it returns the size in bytes that the volume
// would get, or the error that Grow would refuse it with.
func FitsGrow(group Group, have []Volume, name string, size int64) (int64, error) {
	v, ok := find(have, name)
	switch {
	case !ok:
		return 0, fs.ErrNotExist
	case v.Kind == Snapshot || v.Kind == Other:
		return 0, unsupported("to grow a volume of kind " + string(v.Kind))
	case size < 1 || size <= v.Size-group.Extent:
		return 0, fmt.Errorf("%w size %d: it has %d bytes, and volumes only grow", ErrInvalid, size, v.Size)
	case size <= v.Size:
		return v.Size, nil
	case v.Kind == Thin:
		more, err := fitsPool(group, have, v.Pool, size-v.Size)
		return v.Size + more, err
	case size > group.Size: // so that rounding can not overflow
		return 0, noRoom(group, size-v.Size)
	}
	if v.Kind == Thick {
		if err := Removable(have, v); err != nil { // LVM resizes no origin that is active
			return 0, err
		}
	}
	want := group.Round(size)
	if want-v.Size > group.Free {
		return 0, noRoom(group, want-v.Size)
	}
	return want, nil
}

// FitsRoom is GrowRoom's dry run: it returns the room in bytes that the volume,
// which is as full as fill says, would get.
func FitsRoom(group Group, v Volume, fill Fill, size int64) (int64, error) {
	have := fill.room(v.Kind)
	most, times := int64(maxMetadata), int64(2) // once more to repair with
	switch {
	case v.Kind == Snapshot:
		most, times = max(group.Round(SnapshotRoom(v.Size)), have), 1
		size = min(size, most)
	case v.Kind != Pool:
		return 0, unsupported("room of a volume of kind " + string(v.Kind))
	}
	switch {
	case size < 1 || size <= have-group.Extent:
		return 0, fmt.Errorf("%w size %d: there is room of %d bytes, and it only grows", ErrInvalid, size, have)
	case size <= have:
		return have, nil
	case size > most:
		return 0, fmt.Errorf("%w metadata size %d: want at most %d", ErrInvalid, size, most)
	}
	want := group.Round(size)
	if more := times * (want - have); more > group.Free {
		return 0, noRoom(group, more)
	}
	return want, nil
}

// room is what GrowRoom grows.
func (f Fill) room(kind Kind) int64 {
	if kind == Pool {
		return f.MetaSize
	}
	return f.Size
}

// FitsPool is CreatePool's dry run: it returns the bytes that the pool would
// get for data and for metadata.
func FitsPool(group Group, have []Volume, spec PoolSpec) (data, metadata int64, err error) {
	if err := spec.valid(); err != nil {
		return 0, 0, err
	}
	if _, ok := find(have, spec.Name); ok {
		return 0, 0, fs.ErrExist
	}
	if spec.Size > group.Size || spec.Metadata > group.Size { // so that rounding can not overflow
		return 0, 0, noRoom(group, max(spec.Size, spec.Metadata))
	}
	data = group.Round(spec.Size)
	metadata = group.Round(spec.metadata(data))
	if all := data + 2*metadata; all > group.Free { // once more to repair with
		return 0, 0, noRoom(group, all)
	}
	return data, metadata, nil
}

// The bounds that lvmthin(7) gives.
const (
	minBlock    = 64 << 10
	maxBlock    = 1 << 30
	minMetadata = 2 << 20
	maxMetadata = 15 << 30 // LVM takes a little more
)

func (s PoolSpec) valid() error {
	if err := ValidName(s.Name); err != nil {
		return err
	}
	if err := ValidTags(s.Tags...); err != nil {
		return err
	}
	switch {
	case s.Size < 1:
		return fmt.Errorf("%w size %d", ErrInvalid, s.Size)
	case s.Metadata != 0 && (s.Metadata < minMetadata || s.Metadata > maxMetadata):
		return fmt.Errorf("%w metadata size %d: want %d to %d", ErrInvalid, s.Metadata, minMetadata, maxMetadata)
	case s.Block != 0 && (s.Block < minBlock || s.Block > maxBlock || s.Block%minBlock != 0):
		return fmt.Errorf("%w block size %d: want a multiple of %d up to %d", ErrInvalid, s.Block, minBlock, maxBlock)
	}
	return nil
}

func (s PoolSpec) block() int64 {
	if s.Block == 0 {
		return minBlock
	}
	return s.Block
}

func (s PoolSpec) metadata(data int64) int64 {
	if s.Metadata != 0 {
		return s.Metadata
	}
	return min(max(64*(data/s.block()), minMetadata), maxMetadata)
}

// Mergeable is Merge's dry run for volumes that nobody has open: it returns
// the origin.
func Mergeable(have []Volume, snapshot string) (Volume, error) {
	s, ok := find(have, snapshot)
	switch {
	case !ok:
		return Volume{}, fs.ErrNotExist
	case s.Origin == "":
		return Volume{}, fmt.Errorf("%w: it is no snapshot", ErrInvalid)
	}
	origin, ok := find(have, s.Origin)
	switch {
	case !ok:
		return Volume{}, fmt.Errorf("origin %s: %w", s.Origin, fs.ErrNotExist)
	case !origin.Active:
		return Volume{}, fmt.Errorf("origin %s: %w", s.Origin, ErrInactive)
	case origin.Size != s.Size:
		return Volume{}, fmt.Errorf("%w: it has %d bytes, its origin %s %d", ErrInvalid, s.Size, s.Origin, origin.Size)
	}
	return origin, nil
}

// Renamable is Rename's dry run.
func Renamable(have []Volume, from, to string) error {
	if err := ValidName(to); err != nil {
		return err
	}
	if _, ok := find(have, from); !ok {
		return fs.ErrNotExist
	}
	if _, ok := find(have, to); ok {
		return fs.ErrExist
	}
	return nil
}
