package lvmtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/xenhost/xenhost/lvm"
)

// poolBlock is what LVM makes the blocks of a small pool, in bytes.
const poolBlock = 64 << 10

// CreatePool implements lvm.Pooler.
func (f *Fake) CreatePool(ctx context.Context, spec lvm.PoolSpec) (lvm.Volume, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.begin(ctx, "create pool")
	if err != nil {
		return lvm.Volume{}, failed("create pool", spec.ID.String(), err)
	}
	v, err := f.createPool(spec)
	if err == nil {
		err = after
	}
	if err != nil {
		return lvm.Volume{}, failed("create pool", spec.ID.String(), err)
	}
	return f.show(v), nil
}

func (f *Fake) createPool(spec lvm.PoolSpec) (*volume, error) {
	g, _, err := f.find(spec.ID)
	if g == nil {
		return nil, err
	}
	data, metadata, err := lvm.FitsPool(g.view(), f.list(g), spec)
	if err != nil {
		return nil, err
	}
	if spec.Oversell {
		spec.Tags = append(slices.Clone(spec.Tags), lvm.TagOversell)
	}
	v := &volume{room: data + metadata, metadata: metadata, block: max(spec.Block, poolBlock), Volume: lvm.Volume{
		ID: spec.ID, Size: data, Kind: lvm.Pool, Tags: union(nil, spec.Tags), Active: true,
	}}
	g.volumes[v.Name] = v
	return v, nil
}

// Fill implements lvm.Gauge. Of a pool it counts what the files of its volumes
// take, and of thin snapshots what differs from their origins; its metadata
// stays empty, and a pool that is full takes writes all the same.
func (f *Fake) Fill(ctx context.Context, id lvm.ID) (lvm.Fill, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	after, err := f.begin(ctx, "fill")
	if err != nil {
		return lvm.Fill{}, failed("fill", id.String(), err)
	}
	fill, err := f.fill(id)
	if err == nil {
		err = after
	}
	return fill, failed("fill", id.String(), err)
}

func (f *Fake) fill(id lvm.ID) (lvm.Fill, error) {
	g, v, err := f.find(id)
	switch {
	case err != nil:
		return lvm.Fill{}, err
	case !v.Active:
		return lvm.Fill{}, lvm.ErrInactive
	case v.Kind == lvm.Pool:
		return f.fillPool(g, v)
	case v.Kind != lvm.Snapshot:
		return lvm.Fill{}, fmt.Errorf("%w: a volume of kind %s has no room that could run full", errors.ErrUnsupported, v.Kind)
	}
	extents, err := f.changed(g, v)
	if err != nil {
		return lvm.Fill{}, err
	}
	return lvm.Fill{Used: min(lvm.SnapshotRoom(total(extents)), v.room), Size: v.room}, nil
}

func (f *Fake) fillPool(g *group, pool *volume) (lvm.Fill, error) {
	fill := lvm.Fill{Size: pool.Size, MetaSize: max(pool.metadata, 2<<20)}
	for _, v := range g.volumes {
		if v.Pool != pool.Name {
			continue
		}
		if origin, ok := g.volumes[v.Origin]; ok {
			extents, err := differences(f.content(origin), f.content(v), v.Size, pool.block)
			if err != nil {
				return lvm.Fill{}, err
			}
			fill.Used += total(extents)
			continue
		}
		info, err := os.Stat(f.content(v))
		if err != nil {
			return lvm.Fill{}, err
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			taken := (s.Blocks*512 + pool.block - 1) / pool.block * pool.block
			fill.Used += min(taken, v.Size)
		}
	}
	fill.Used = min(fill.Used, fill.Size)
	return fill, nil
}

// content is the file of a volume, active or not.
func (f *Fake) content(v *volume) string {
	if v.Active {
		return f.path(v.ID)
	}
	return f.parked(v.ID)
}

func total(extents []lvm.Extent) int64 {
	var n int64
	for _, e := range extents {
		n += e.Length
	}
	return n
}
