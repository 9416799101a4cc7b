package lvm

import (
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
)

// ChunkSize is the unit in which thick snapshots track writes, in bytes.
const ChunkSize = 4096

// Round returns size rounded up to whole extents of the group.
func (g Group) Round(size int64) int64 {
	return (size + g.Extent - 1) / g.Extent * g.Extent
}

// Unwiped tells that the volume may still hold its former owner's data.
func (v Volume) Unwiped() bool { return slices.Contains(v.Tags, TagWiping) }

// SnapshotRoom returns the bytes that a thick snapshot of a volume of that
// size needs to never overflow: a header, each chunk once, and 16 bytes a
// chunk for the table.
func SnapshotRoom(size int64) int64 {
	const perArea = ChunkSize / 16
	chunks := (size + ChunkSize - 1) / ChunkSize
	return (1 + chunks + chunks/perArea + 1) * ChunkSize
}

// Fits is Create's dry run: it returns the size in bytes that the volume would
// get in the group, which has these volumes, or the error that Create would
// refuse it with.
func Fits(group Group, have []Volume, spec Spec) (int64, error) {
	if err := spec.valid(); err != nil {
		return 0, err
	}
	if _, ok := find(have, spec.Name); ok {
		return 0, fs.ErrExist
	}
	if spec.Size > group.Size && spec.Pool == "" { // so that rounding can not overflow
		return 0, noRoom(group, spec.Size)
	}
	if spec.Pool != "" {
		return fitsPool(group, have, spec.Pool, spec.Size)
	}
	size := group.Round(spec.Size)
	if size > group.Free {
		return 0, noRoom(group, size)
	}
	return size, nil
}

// FitsSnapshot is Snapshot's dry run: it returns the bytes that the snapshot
// would get for changed blocks (thick) or promise (thin).
func FitsSnapshot(group Group, have []Volume, origin, name string, opts *SnapshotOptions) (int64, error) {
	if opts == nil {
		opts = &SnapshotOptions{}
	}
	if err := ValidName(name); err != nil {
		return 0, err
	}
	if err := ValidTags(opts.Tags...); err != nil {
		return 0, err
	}
	if opts.Size < 0 {
		return 0, fmt.Errorf("%w size %d", ErrInvalid, opts.Size)
	}
	from, ok := find(have, origin)
	if !ok {
		return 0, fmt.Errorf("%w: origin %s", fs.ErrNotExist, origin)
	}
	if _, ok := find(have, name); ok {
		return 0, fs.ErrExist
	}
	switch {
	case from.Kind != Thick && from.Kind != Thin:
		return 0, unsupported("a snapshot of a volume of kind " + string(from.Kind))
	case from.Unwiped():
		return 0, fmt.Errorf("origin %s: %w", origin, ErrUnwiped)
	case !from.Active:
		return 0, fmt.Errorf("origin %s: %w", origin, ErrInactive)
	case from.Kind == Thin:
		return fitsPool(group, have, from.Pool, from.Size)
	}
	size := group.Round(SnapshotRoom(from.Size))
	if opts.Size > 0 && opts.Size < size {
		size = group.Round(opts.Size)
	}
	if size > group.Free {
		return 0, noRoom(group, size)
	}
	return size, nil
}

func (s Spec) valid() error {
	if err := ValidName(s.Name); err != nil {
		return err
	}
	if err := ValidTags(s.Tags...); err != nil {
		return err
	}
	if s.Size < 1 {
		return fmt.Errorf("%w size %d", ErrInvalid, s.Size)
	}
	if s.Unwiped && s.Pool != "" {
		return fmt.Errorf("%w: a thin volume is never unwiped", ErrInvalid)
	}
	return nil
}

// fitsPool refuses to promise more than the pool holds, unless it carries
// TagOversell: a pool that runs full stops the writes of every guest in it.
func fitsPool(group Group, have []Volume, pool string, size int64) (int64, error) {
	p, ok := find(have, pool)
	if !ok {
		return 0, fmt.Errorf("%w: pool %s", fs.ErrNotExist, pool)
	}
	if p.Kind != Pool {
		return 0, fmt.Errorf("%w: %s is no thin pool", ErrInvalid, pool)
	}
	if size/group.Extent >= math.MaxUint32 { // more than LVM can count
		return 0, fmt.Errorf("%w in pool %s for %d bytes", ErrNoSpace, pool, size)
	}
	var promised int64
	for _, v := range have {
		if v.Pool == pool {
			promised += v.Size
		}
	}
	size = group.Round(size)
	if free := max(0, p.Size-promised); size > free && !slices.Contains(p.Tags, TagOversell) {
		return 0, fmt.Errorf("%w in pool %s (%d bytes not promised, needs %d)", ErrNoSpace, pool, free, size)
	}
	return size, nil
}

func noRoom(g Group, size int64) error {
	needs := size / g.Extent
	if size%g.Extent > 0 {
		needs++
	}
	return fmt.Errorf("%w (%d extents, needs %d)", ErrNoSpace, g.Free/g.Extent, needs)
}

func pick(have []Volume, name string) (Volume, error) {
	v, ok := find(have, name)
	if !ok {
		return Volume{}, fs.ErrNotExist
	}
	return v, nil
}

func find(have []Volume, name string) (Volume, bool) {
	for _, v := range have {
		if v.Name == name {
			return v, true
		}
	}
	return Volume{}, false
}

// Resumes returns nil if have is what an interrupted Create of spec left in
// the group, and fs.ErrExist otherwise.
func Resumes(group Group, have Volume, spec Spec) error {
	if err := spec.valid(); err != nil {
		return err
	}
	switch {
	case !have.Unwiped():
		return fs.ErrExist
	case spec.Pool != "" || have.Size != group.Round(spec.Size):
		return fmt.Errorf("%w: %d bytes, unfinished (%w): remove it, or create it with that size", fs.ErrExist, have.Size, ErrUnwiped)
	}
	return nil
}

// Removable is Remove's dry run for a volume that nobody has open: ErrBusy,
// with names, if other volumes of the group depend on it.
func Removable(have []Volume, v Volume) error {
	var names []string
	for _, d := range have {
		if d.Kind == Snapshot && d.Origin == v.Name || v.Kind == Pool && d.Pool == v.Name {
			names = append(names, d.Name)
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("%w: needed by %s", ErrBusy, strings.Join(names, ", "))
	}
	return nil
}
