package lvm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Rename implements Reshaper.
//
//	lvm lvrename guests web1 web2
func (c *Client) Rename(ctx context.Context, id ID, name string) (Volume, error) {
	v, err := c.rename(ctx, id, name)
	if err != nil {
		return Volume{}, failed("rename", id.String(), err)
	}
	return v, nil
}

func (c *Client) rename(ctx context.Context, id ID, name string) (Volume, error) {
	if err := id.Valid(); err != nil {
		return Volume{}, err
	}
	entries, err := c.entries(ctx, id.Group)
	if err != nil {
		return Volume{}, err
	}
	if err := Renamable(volumes(entries), id.Name, name); err != nil {
		return Volume{}, err
	}
	before, _ := find(volumes(entries), id.Name)
	ran := c.change(ctx, "lvrename", id.Group, id.Name, name)
	if ran != nil && ctx.Err() != nil {
		return Volume{}, ran
	}
	if entries, err = c.entries(ctx, id.Group); err != nil {
		return Volume{}, err
	}
	now, renamed := find(volumes(entries), name)
	_, still := find(volumes(entries), id.Name)
	switch {
	case still && renamed: // another one was faster
		return Volume{}, fmt.Errorf("%w: %w", fs.ErrExist, ran)
	case still:
		return Volume{}, contradicts("it has its old name", ran)
	case !renamed:
		return Volume{}, fs.ErrNotExist
	case now.Size != before.Size || now.Kind != before.Kind || now.Active != before.Active:
		return Volume{}, contradicts(fmt.Sprintf("%s has %d bytes, kind %s, active: %t", name, now.Size, now.Kind, now.Active), ran)
	case now.Active:
		return now, c.node(ctx, now)
	}
	return now, nil
}

// Merge implements Reshaper.
//
//	lvm lvconvert -y -i 1 --merge guests/web1-snap
func (c *Client) Merge(ctx context.Context, snapshot ID) (Volume, error) {
	v, err := c.merge(ctx, snapshot)
	if err != nil {
		return Volume{}, failed("merge", snapshot.String(), err)
	}
	return v, nil
}

func (c *Client) merge(ctx context.Context, id ID) (Volume, error) {
	s, err := c.settled(ctx, id)
	if err != nil {
		return Volume{}, err
	}
	entries, err := c.entries(ctx, id.Group)
	if err != nil {
		return Volume{}, err
	}
	origin, err := Mergeable(volumes(entries), id.Name)
	if err != nil {
		return Volume{}, err
	}
	o, err := c.settled(ctx, origin.ID)
	switch {
	case err != nil:
		return Volume{}, err
	case s.invalid:
		return Volume{}, ErrSnapshotInvalid
	case s.Open:
		return Volume{}, ErrBusy
	case o.Open:
		return Volume{}, fmt.Errorf("origin %s: %w", origin.Name, ErrBusy)
	}
	ran := c.change(ctx, "lvconvert", "-y", "-i", "1", "--merge", id.String())
	if ran != nil && ctx.Err() != nil {
		return Volume{}, ran
	}
	return c.merged(ctx, id, o, ran)
}

// merged looks whether the origin is what it was, but for its content, and the
// snapshot gone.
func (c *Client) merged(ctx context.Context, id ID, origin entry, ran error) (Volume, error) {
	if _, err := c.entry(ctx, id); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return Volume{}, err
		}
		return Volume{}, contradicts("the snapshot is still there", ran)
	}
	now, err := c.entry(ctx, origin.ID)
	switch {
	case err != nil:
		return Volume{}, err
	case now.merging:
		return Volume{}, fmt.Errorf("%w: origin %s was opened meanwhile; LVM merges when it is activated next", ErrBusy, origin.Name)
	case !now.Active || now.Size != origin.Size || now.Kind != origin.Kind:
		return Volume{}, contradicts(fmt.Sprintf("origin %s has %d bytes, active: %t", origin.Name, now.Size, now.Active), ran)
	}
	return now.Volume, c.node(ctx, now.Volume)
}
