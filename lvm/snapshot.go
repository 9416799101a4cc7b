package lvm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
)

// Snapshot implements Maker, for a thick and for a thin origin by
//
//	lvm lvcreate -y -s -c 4k -l 9 -kn -n web1-snap guests/web1
//	lvm lvcreate -y -s -kn -n web1-snap guests/web1
//
// When a thick one overflows LVM invalidates it; the origin is unharmed.
func (c *Client) Snapshot(ctx context.Context, origin ID, name string, opts *SnapshotOptions) (Volume, error) {
	v, err := c.snapshot(ctx, origin, name, opts)
	if err != nil {
		return Volume{}, failed("snapshot", ID{Group: origin.Group, Name: name}.String(), err)
	}
	return v, nil
}

func (c *Client) snapshot(ctx context.Context, origin ID, name string, opts *SnapshotOptions) (Volume, error) {
	if err := origin.Valid(); err != nil {
		return Volume{}, err
	}
	group, entries, err := c.state(ctx, origin.Group)
	if err != nil {
		return Volume{}, err
	}
	room, err := FitsSnapshot(group, volumes(entries), origin.Name, name, opts)
	if err != nil {
		return Volume{}, err
	}
	from, _ := find(volumes(entries), origin.Name)
	args := []string{"-y", "-s", "-kn", "-n", name}
	if from.Kind == Thick {
		args = append(args, "-c", "4k", "-l", strconv.FormatInt(room/group.Extent, 10))
	}
	if opts != nil {
		args = append(args, addTags(opts.Tags)...)
	}
	ran := c.change(ctx, "lvcreate", append(args, origin.String())...)
	if ran != nil && ctx.Err() != nil {
		return Volume{}, ran
	}
	v, err := c.Volume(ctx, ID{Group: origin.Group, Name: name})
	switch {
	case ran != nil && err == nil:
		return Volume{}, fmt.Errorf("%w: %w", fs.ErrExist, ran)
	case ran != nil:
		return Volume{}, ran
	case err != nil:
		return Volume{}, contradicts("it is not there", err)
	case v.Origin != origin.Name || v.Size != from.Size || !v.Active:
		return Volume{}, contradicts(fmt.Sprintf("it has the origin %q, %d bytes, active: %t", v.Origin, v.Size, v.Active), nil)
	}
	return v, c.node(ctx, v)
}

// Remove implements Maker.
//
//	lvm lvremove -y guests/web1
func (c *Client) Remove(ctx context.Context, id ID) error {
	return failed("remove", id.String(), c.remove(ctx, id))
}

func (c *Client) remove(ctx context.Context, id ID) error {
	if err := id.Valid(); err != nil {
		return err
	}
	entries, err := c.entries(ctx, id.Group)
	if err != nil {
		return err
	}
	v, ok := find(volumes(entries), id.Name)
	if !ok {
		return fs.ErrNotExist
	}
	// lvremove -y would take the snapshots with it.
	if err := Removable(volumes(entries), v); err != nil {
		return err
	}
	if v.Open {
		e, err := c.settled(ctx, id)
		if err != nil {
			return err
		}
		if e.Open {
			return ErrBusy
		}
	}
	ran := c.change(ctx, "lvremove", "-y", id.String())
	if ran != nil && ctx.Err() != nil {
		return ran
	}
	e, err := c.entry(ctx, id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case e.Open:
		return ErrBusy
	}
	return contradicts("it is still there", ran)
}
