package lvm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
)

// Create implements Maker. A thick volume takes
//
//	lvm lvcreate -y -an -Wn -Zn -ky --addtag xenhost.state=wiping -l 16 -n web1 guests
//	lvm lvchange -ay -K guests/web1     # then all of it is zeroed (BLKZEROOUT)
//	lvm lvchange --deltag xenhost.state=wiping -kn guests/web1
//
// and a thin one
//
//	lvm lvcreate -y -kn -V 67108864b -T guests/pool -n web1
func (c *Client) Create(ctx context.Context, spec Spec) (Volume, error) {
	v, err := c.create(ctx, spec)
	if err != nil {
		return Volume{}, failed("create", spec.ID.String(), err)
	}
	return v, nil
}

func (c *Client) create(ctx context.Context, spec Spec) (Volume, error) {
	if err := errors.Join(spec.ID.Valid(), spec.valid()); err != nil {
		return Volume{}, err
	}
	group, entries, err := c.state(ctx, spec.Group)
	if err != nil {
		return Volume{}, err
	}
	v, ok := find(volumes(entries), spec.Name)
	if ok && v.Unwiped() {
		err = Resumes(group, v, spec)
	} else {
		v, err = c.allot(ctx, group, entries, spec)
	}
	if err != nil {
		return Volume{}, err
	}
	if spec.Unwiped {
		return v, nil
	}
	if !v.Unwiped() { // thin: it never had an owner
		return c.arrange(ctx, v, spec)
	}
	if v, err = c.wipe(ctx, v, slices.Concat([]string{skipFlag(spec.Skip)}, addTags(spec.Tags))); err != nil {
		return Volume{}, err
	}
	return c.arrange(ctx, v, spec)
}

// allot makes the volume, without a look at its content.
func (c *Client) allot(ctx context.Context, group Group, entries []entry, spec Spec) (Volume, error) {
	size, err := Fits(group, volumes(entries), spec)
	if err != nil {
		return Volume{}, err
	}
	for _, e := range entries {
		if e.Name == spec.Pool && !e.zeroes {
			return Volume{}, fmt.Errorf("%w: pool %s hands out blocks with their former owner's data: lvchange -Zy %s/%s first",
				ErrInvalid, spec.Pool, spec.Group, spec.Pool)
		}
	}
	ran := c.change(ctx, "lvcreate", createArgs(group, spec, size)...)
	if ran != nil && ctx.Err() != nil {
		return Volume{}, ran
	}
	v, err := c.Volume(ctx, spec.ID)
	switch {
	case ran != nil && err == nil: // another one was faster, or it is half made
		return Volume{}, fmt.Errorf("%w: %w", fs.ErrExist, ran)
	case ran != nil:
		return Volume{}, c.whyNot(ctx, spec, ran)
	case err != nil:
		return Volume{}, contradicts("it is not there", err)
	case v.Size != size || v.Pool != spec.Pool || v.Unwiped() != (spec.Pool == ""):
		return Volume{}, contradicts(fmt.Sprintf("it has %d bytes, pool %q and the tags %q", v.Size, v.Pool, v.Tags), nil)
	}
	return v, nil
}

// whyNot says why lvcreate failed, by what is there now: others may have taken
// the room since it was looked at.
func (c *Client) whyNot(ctx context.Context, spec Spec, ran error) error {
	group, entries, err := c.state(ctx, spec.Group)
	if err != nil {
		return errors.Join(err, ran)
	}
	if _, err := Fits(group, volumes(entries), spec); err != nil {
		return err
	}
	return ran
}

func createArgs(group Group, spec Spec, size int64) []string {
	args := []string{"-y", "-n", spec.Name}
	args = append(args, addTags(spec.Tags)...)
	if spec.Pool != "" {
		return append(args, skipFlag(spec.Skip), "-V", strconv.FormatInt(size, 10)+"b", "-T", spec.Group+"/"+spec.Pool)
	}
	args = append(args, addTags([]string{TagWiping})...)
	extents := strconv.FormatInt(size/group.Extent, 10)
	return append(args, "-an", "-Wn", "-Zn", "-ky", "-l", extents, spec.Group)
}

// arrange makes the volume active or inactive as wanted and returns it.
func (c *Client) arrange(ctx context.Context, v Volume, spec Spec) (Volume, error) {
	var err error
	switch {
	case v.Active && spec.Inactive:
		err = c.deactivate(ctx, spec.ID)
	case !v.Active && !spec.Inactive:
		err = c.activate(ctx, spec.ID)
	default:
		return v, nil
	}
	if err != nil {
		return Volume{}, err
	}
	return c.Volume(ctx, spec.ID)
}

func addTags(tags []string) []string {
	var args []string
	for _, tag := range tags {
		args = append(args, "--addtag", tag)
	}
	return args
}

func skipFlag(skip bool) string {
	if skip {
		return "-ky"
	}
	return "-kn"
}
