package lvm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
)

// CreatePool implements Pooler.
//
//	lvm lvcreate -y --type thin-pool -Zy -c 65536b -l 2560 --poolmetadatasize 10485760b -n pool guests
func (c *Client) CreatePool(ctx context.Context, spec PoolSpec) (Volume, error) {
	v, err := c.createPool(ctx, spec)
	if err != nil {
		return Volume{}, failed("create pool", spec.ID.String(), err)
	}
	return v, nil
}

func (c *Client) createPool(ctx context.Context, spec PoolSpec) (Volume, error) {
	if err := spec.ID.Valid(); err != nil {
		return Volume{}, err
	}
	group, entries, err := c.state(ctx, spec.Group)
	if err != nil {
		return Volume{}, err
	}
	data, metadata, err := FitsPool(group, volumes(entries), spec)
	if err != nil {
		return Volume{}, err
	}
	if spec.Oversell {
		spec.Tags = append(slices.Clone(spec.Tags), TagOversell)
	}
	size := func(n int64) string { return strconv.FormatInt(n, 10) + "b" }
	args := []string{"-y", "--type", "thin-pool", "-Zy", "-c", size(spec.block()),
		"-l", strconv.FormatInt(data/group.Extent, 10), "--poolmetadatasize", size(metadata), "-n", spec.Name}
	ran := c.change(ctx, "lvcreate", slices.Concat(args, addTags(spec.Tags), []string{spec.Group})...)
	if ran != nil && ctx.Err() != nil {
		return Volume{}, ran
	}
	e, err := c.entry(ctx, spec.ID)
	switch {
	case ran != nil && err == nil: // another one was faster, or it is half made
		return Volume{}, fmt.Errorf("%w: %w", fs.ErrExist, ran)
	case ran != nil:
		return Volume{}, ran
	case errors.Is(err, fs.ErrNotExist):
		return Volume{}, contradicts("it is not there", err)
	case err != nil:
		return Volume{}, err
	case e.Kind != Pool || e.Size != data || !e.zeroes:
		return Volume{}, contradicts(fmt.Sprintf("it is %s with %d bytes, zeroes its blocks: %t", e.Kind, e.Size, e.zeroes), nil)
	}
	return e.Volume, nil
}
