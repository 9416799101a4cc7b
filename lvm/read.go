package lvm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Groups implements Reader.
//
//	lvm vgs --reportformat json --units b --nosuffix -o vg_name,...
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	groups, err := c.groups(ctx)
	return groups, failed("groups", "", err)
}

// Volumes implements Reader.
//
//	lvm lvs --reportformat json --units b --nosuffix -o vg_name,lv_name,... guests
func (c *Client) Volumes(ctx context.Context, group string) ([]Volume, error) {
	entries, err := c.entries(ctx, group)
	return volumes(entries), failed("volumes", group, err)
}

// Volume implements Reader. It reads the whole group: LVM takes as long for one
// volume as for all.
func (c *Client) Volume(ctx context.Context, id ID) (Volume, error) {
	e, err := c.entry(ctx, id)
	return e.Volume, failed("volume", id.String(), err)
}

func (c *Client) groups(ctx context.Context) ([]Group, error) {
	out, err := c.read(ctx, "vgs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", groupFields)
	if err != nil {
		return nil, err
	}
	return parseGroups(out)
}

func (c *Client) group(ctx context.Context, name string) (Group, error) {
	groups, err := c.groups(ctx)
	if err != nil {
		return Group{}, err
	}
	for _, g := range groups {
		if g.Name == name {
			return g, nil
		}
	}
	return Group{}, fmt.Errorf("%w: group %s", fs.ErrNotExist, name)
}

func (c *Client) entries(ctx context.Context, group string) ([]entry, error) {
	_, entries, err := c.report(ctx, group)
	return entries, err
}

// state returns a group and its volumes at one moment.
func (c *Client) state(ctx context.Context, name string) (Group, []entry, error) {
	group, entries, err := c.report(ctx, name)
	if err == nil && len(entries) == 0 {
		group, err = c.group(ctx, name)
	}
	return group, entries, err
}

// report is state, without the group if it has no volumes.
func (c *Client) report(ctx context.Context, name string) (Group, []entry, error) {
	if err := (ID{Group: name, Name: "x"}).Valid(); err != nil {
		return Group{}, nil, err
	}
	out, err := c.read(ctx, "lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", volumeFields, name)
	if err != nil {
		// Exit code 5 says nothing; whether the group is listed does.
		if _, gone := c.group(ctx, name); errors.Is(gone, fs.ErrNotExist) {
			return Group{}, nil, gone
		}
		return Group{}, nil, err
	}
	group, entries, err := parseVolumes(out)
	for i := range entries {
		if entries[i].Kind != Pool {
			entries[i].Path = c.path(entries[i].ID)
		}
	}
	return group, entries, err
}

func (c *Client) entry(ctx context.Context, id ID) (entry, error) {
	if err := id.Valid(); err != nil {
		return entry{}, err
	}
	entries, err := c.entries(ctx, id.Group)
	if err != nil {
		return entry{}, err
	}
	for _, e := range entries {
		if e.Name == id.Name {
			return e, nil
		}
	}
	return entry{}, fs.ErrNotExist
}

// settled is entry for one that should not be open: udev opens a device for a
// moment after each writer closed it, which is waited for (LVM itself does the
// same before it removes a device).
func (c *Client) settled(ctx context.Context, id ID) (entry, error) {
	for range 5 {
		e, err := c.entry(ctx, id)
		if err != nil || !e.Open {
			return e, err
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return entry{}, err
		}
	}
	return c.entry(ctx, id)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func volumes(entries []entry) []Volume {
	var all []Volume
	for _, e := range entries {
		all = append(all, e.Volume)
	}
	return all
}
