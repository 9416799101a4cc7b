package lvmtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/xenhost/xenhost/lvm"
)

// Create implements lvm.Maker.
func (f *Fake) Create(ctx context.Context, spec lvm.Spec) (lvm.Volume, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.begin(ctx, "create")
	if err != nil {
		return lvm.Volume{}, failed("create", spec.ID.String(), err)
	}
	v, err := f.create(ctx, spec)
	if err == nil {
		err = after
	}
	if err != nil {
		return lvm.Volume{}, failed("create", spec.ID.String(), err)
	}
	return f.show(v), nil
}

func (f *Fake) create(ctx context.Context, spec lvm.Spec) (*volume, error) {
	g, old, err := f.find(spec.ID)
	if g == nil {
		return nil, err
	}
	v, err := f.unfinished(g, old, spec)
	if err != nil {
		return nil, err
	}
	if v == nil {
		if v, err = f.allot(g, spec); err != nil {
			return nil, err
		}
	}
	if spec.Unwiped {
		return v, nil
	}
	if v.Unwiped() {
		if err := f.wipe(ctx, v); err != nil {
			return nil, err
		}
	}
	v.Tags = union(without(v.Tags, lvm.TagWiping), spec.Tags)
	v.Skip = spec.Skip
	if spec.Inactive {
		return v, f.setActive(v, false)
	}
	return v, f.setActive(v, true)
}

// unfinished returns the volume that an interrupted Create of spec left.
func (f *Fake) unfinished(g *group, old *volume, spec lvm.Spec) (*volume, error) {
	if old == nil || !old.Unwiped() {
		return nil, nil
	}
	return old, lvm.Resumes(g.view(), old.Volume, spec)
}

// allot takes the room for a new volume: its content is the last owner's.
func (f *Fake) allot(g *group, spec lvm.Spec) (*volume, error) {
	size, err := lvm.Fits(g.view(), f.list(g), spec)
	if err != nil {
		return nil, err
	}
	v := &volume{Volume: lvm.Volume{ID: spec.ID, Size: size, Kind: lvm.Thick, Tags: union(nil, spec.Tags)}, room: size}
	if spec.Pool != "" {
		v.Kind, v.Pool, v.room = lvm.Thin, spec.Pool, 0
		err = makeFile(f.parked(v.ID), size)
	} else {
		v.Tags, v.Skip = union(v.Tags, []string{lvm.TagWiping}), true
		err = makeDirty(f.parked(v.ID), size, g.extent)
	}
	if err != nil {
		return nil, err
	}
	g.volumes[v.Name] = v
	return v, nil
}

// Wipe implements lvm.Maker.
func (f *Fake) Wipe(ctx context.Context, id lvm.ID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.begin(ctx, "wipe")
	if err != nil {
		return failed("wipe", id.String(), err)
	}
	_, v, err := f.find(id)
	if err != nil {
		return failed("wipe", id.String(), err)
	}
	if !v.Unwiped() {
		return failed("wipe", id.String(), fmt.Errorf("%w: it has no tag %s", lvm.ErrInvalid, lvm.TagWiping))
	}
	if err := f.wipe(ctx, v); err != nil {
		return failed("wipe", id.String(), err)
	}
	v.Tags = without(v.Tags, lvm.TagWiping)
	return failed("wipe", id.String(), after)
}

// wipe zeroes v, unless a fault stops it half-way.
func (f *Fake) wipe(ctx context.Context, v *volume) error {
	if v.open() {
		return lvm.ErrBusy
	}
	fault := f.faults.before["wipe"]
	delete(f.faults.before, "wipe")
	from := int64(0)
	if fault != nil {
		from = v.Size / 2
	}
	if err := zeroFrom(f.parked(v.ID), from, v.Size); err != nil {
		return fmt.Errorf("%w: %w", lvm.ErrUnwiped, err)
	}
	if fault != nil {
		return fmt.Errorf("%w: %w", lvm.ErrUnwiped, fault)
	}
	return nil
}

// Snapshot implements lvm.Maker. The fake copies the origin at once.
func (f *Fake) Snapshot(ctx context.Context, origin lvm.ID, name string, opts *lvm.SnapshotOptions) (lvm.Volume, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := lvm.ID{Group: origin.Group, Name: name}
	after, err := f.begin(ctx, "snapshot")
	if err != nil {
		return lvm.Volume{}, failed("snapshot", id.String(), err)
	}
	v, err := f.snapshot(origin, id, opts)
	if err == nil {
		err = after
	}
	if err != nil {
		return lvm.Volume{}, failed("snapshot", id.String(), err)
	}
	return f.show(v), nil
}

func (f *Fake) snapshot(origin, id lvm.ID, opts *lvm.SnapshotOptions) (*volume, error) {
	g, from, err := f.find(origin)
	if g == nil {
		return nil, err
	}
	size, err := lvm.FitsSnapshot(g.view(), f.list(g), origin.Name, id.Name, opts)
	if err != nil {
		return nil, err
	}
	v := &volume{room: size, Volume: lvm.Volume{ID: id, Size: from.Size, Kind: lvm.Snapshot, Origin: origin.Name, Active: true}}
	if from.Kind == lvm.Thin {
		v.Kind, v.Pool, v.room = lvm.Thin, from.Pool, 0
	}
	if opts != nil {
		v.Tags = union(nil, opts.Tags)
	}
	if err := copyFile(f.path(v.ID), f.path(origin), v.Size); err != nil {
		return nil, err
	}
	g.volumes[id.Name] = v
	return v, nil
}

// Remove implements lvm.Maker.
func (f *Fake) Remove(ctx context.Context, id lvm.ID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.begin(ctx, "remove")
	if err != nil {
		return failed("remove", id.String(), err)
	}
	g, v, err := f.find(id)
	if err != nil {
		return failed("remove", id.String(), err)
	}
	if v.open() {
		return failed("remove", id.String(), lvm.ErrBusy)
	}
	if err := lvm.Removable(f.list(g), v.Volume); err != nil {
		return failed("remove", id.String(), err)
	}
	delete(g.volumes, id.Name)
	for _, s := range g.volumes { // a thin snapshot lives on without its origin
		if s.Origin == id.Name {
			s.Origin = ""
		}
	}
	err = errors.Join(os.RemoveAll(f.path(id)), os.RemoveAll(f.parked(id)), after)
	return failed("remove", id.String(), err)
}

// union returns the sorted tags of both.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

func without(tags []string, gone ...string) []string {
	return slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return slices.Contains(gone, tag) })
}
