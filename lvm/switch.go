package lvm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Activate implements Switch.
//
//	lvm lvchange -ay -K guests/web1
func (c *Client) Activate(ctx context.Context, id ID) error {
	return failed("activate", id.String(), c.activate(ctx, id))
}

// Deactivate implements Switch.
//
//	lvm lvchange -an guests/web1
func (c *Client) Deactivate(ctx context.Context, id ID) error {
	return failed("deactivate", id.String(), c.deactivate(ctx, id))
}

// SetSkip implements Switch.
//
//	lvm lvchange -ky guests/web1
func (c *Client) SetSkip(ctx context.Context, id ID, skip bool) error {
	return failed("skip", id.String(), c.setSkip(ctx, id, skip))
}

// Tag implements Switch.
//
//	lvm lvchange --deltag xenhost.owner=curacao --addtag xenhost.owner=islay guests/web1
func (c *Client) Tag(ctx context.Context, id ID, add, remove []string) error {
	return failed("tag", id.String(), c.tag(ctx, id, add, remove))
}

func (c *Client) activate(ctx context.Context, id ID) error {
	e, err := c.entry(ctx, id)
	switch {
	case err != nil:
		return err
	case e.Unwiped():
		return ErrUnwiped
	case e.Active:
		return c.node(ctx, e.Volume)
	case e.Kind == Snapshot:
		return withOrigin(e.Volume)
	}
	return c.turnOn(ctx, id)
}

// turnOn makes the device node of any volume. lvchange -ay without -K does
// nothing to one with the activation-skip flag, and exits 0.
func (c *Client) turnOn(ctx context.Context, id ID) error {
	ran := c.change(ctx, "lvchange", "-ay", "-K", id.String())
	if ran != nil && ctx.Err() != nil {
		return ran
	}
	return c.isOn(ctx, id, ran)
}

// isOn returns nil once the device node of a volume is there that was just
// activated.
func (c *Client) isOn(ctx context.Context, id ID, ran error) error {
	e, err := c.entry(ctx, id)
	if err != nil {
		return err
	}
	if !e.Active {
		return contradicts("it is not active", ran)
	}
	return c.node(ctx, e.Volume)
}

// node waits for the device node of an active volume: udev makes it, perhaps
// late. Where it does not, LVM is told to.
func (c *Client) node(ctx context.Context, v Volume) error {
	if v.Kind == Pool {
		return nil
	}
	var err error
	for range 2 {
		for range 50 {
			if _, err = os.Stat(v.Path); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				return err
			}
		}
		if ran := c.change(ctx, "vgmknodes", v.ID.String()); ran != nil {
			return fmt.Errorf("it is active and has no device node: %w: %w", err, ran)
		}
	}
	return fmt.Errorf("it is active and has no device node: %w", err)
}

func (c *Client) deactivate(ctx context.Context, id ID) error {
	if err := id.Valid(); err != nil {
		return err
	}
	entries, err := c.entries(ctx, id.Group)
	if err != nil {
		return err
	}
	e, ok := find(volumes(entries), id.Name)
	switch {
	case !ok:
		return fs.ErrNotExist
	case !e.Active:
		return nil
	case e.Kind == Snapshot:
		return withOrigin(e)
	}
	ran := c.change(ctx, "lvchange", "-an", id.String())
	if ran != nil && ctx.Err() != nil {
		return ran
	}
	if entries, err = c.entries(ctx, id.Group); err != nil {
		return err
	}
	now, ok := find(volumes(entries), id.Name)
	switch {
	case !ok:
		return fs.ErrNotExist
	case !now.Active:
		return nil
	case now.Open:
		return ErrBusy
	}
	for _, s := range entries {
		if s.Kind == Snapshot && s.Origin == id.Name && s.Open {
			return fmt.Errorf("%s: %w", s.Name, ErrBusy)
		}
	}
	return contradicts("it is still active", ran)
}

func withOrigin(v Volume) error {
	return unsupported("a thick snapshot goes with its origin " + v.Origin)
}

func (c *Client) setSkip(ctx context.Context, id ID, skip bool) error {
	e, err := c.entry(ctx, id)
	switch {
	case err != nil:
		return err
	case e.Unwiped() && !skip:
		return ErrUnwiped
	case e.Kind == Snapshot:
		return withOrigin(e.Volume)
	case e.Skip == skip:
		return nil
	}
	ran := c.change(ctx, "lvchange", skipFlag(skip), id.String())
	if ran != nil && ctx.Err() != nil {
		return ran
	}
	if e, err = c.entry(ctx, id); err != nil {
		return err
	}
	if e.Skip != skip {
		return contradicts("the activation-skip flag did not change", ran)
	}
	return nil
}

func (c *Client) tag(ctx context.Context, id ID, add, remove []string) error {
	if err := errors.Join(ValidTags(add...), ValidTags(remove...)); err != nil {
		return err
	}
	e, err := c.entry(ctx, id)
	if err != nil {
		return err
	}
	var args []string
	for _, tag := range remove {
		if slices.Contains(e.Tags, tag) && !slices.Contains(add, tag) {
			args = append(args, "--deltag", tag)
		}
	}
	for _, tag := range add {
		if !slices.Contains(e.Tags, tag) {
			args = append(args, "--addtag", tag)
		}
	}
	if len(args) == 0 {
		return nil
	}
	ran := c.change(ctx, "lvchange", append(args, id.String())...)
	if ran != nil && ctx.Err() != nil {
		return ran
	}
	if e, err = c.entry(ctx, id); err != nil {
		return err
	}
	for _, tag := range add {
		if !slices.Contains(e.Tags, tag) {
			return contradicts("it has no tag "+tag, ran)
		}
	}
	for _, tag := range remove {
		if slices.Contains(e.Tags, tag) && !slices.Contains(add, tag) {
			return contradicts("it still has the tag "+tag, ran)
		}
	}
	return nil
}
