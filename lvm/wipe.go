package lvm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// wipeStep is how much is zeroed between two looks at the context, in bytes.
const wipeStep = 16 << 20

// Wipe implements Maker.
//
//	lvm lvchange -ay -K guests/web1     # then all of it is zeroed (BLKZEROOUT)
//	lvm lvchange --deltag xenhost.state=wiping -ky guests/web1
//	lvm lvchange -an guests/web1
func (c *Client) Wipe(ctx context.Context, id ID) error {
	e, err := c.entry(ctx, id)
	if err == nil {
		_, err = c.wipe(ctx, e.Volume, []string{skipFlag(true)})
	}
	if err == nil {
		err = c.deactivate(ctx, id)
	}
	return failed("wipe", id.String(), err)
}

// wipe zeroes a marked volume, takes the mark away and gives it the properties
// in the same change of the metadata. It stays active.
func (c *Client) wipe(ctx context.Context, v Volume, properties []string) (Volume, error) {
	if v.Open {
		e, err := c.settled(ctx, v.ID)
		if err != nil {
			return Volume{}, err
		}
		v = e.Volume
	}
	switch {
	case !v.Unwiped():
		return Volume{}, fmt.Errorf("%w: it has no tag %s", ErrInvalid, TagWiping)
	case v.Open:
		return Volume{}, ErrBusy
	}
	v, err := c.wipeMarked(ctx, v, properties)
	if err != nil && !errors.Is(err, ErrBusy) {
		err = fmt.Errorf("%w: %w", ErrUnwiped, err)
	}
	return v, err
}

func (c *Client) wipeMarked(ctx context.Context, v Volume, properties []string) (done Volume, err error) {
	d, err := c.openMarked(ctx, v)
	if err != nil {
		return Volume{}, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	now, err := c.entry(ctx, v.ID)
	switch {
	case err != nil:
		return Volume{}, err
	case !now.Unwiped():
		return Volume{}, fmt.Errorf("%w: another one wiped it", ErrBusy)
	case d.Size() != now.Size:
		return Volume{}, fmt.Errorf("%s has %d bytes, the volume %d", v.Path, d.Size(), now.Size)
	}
	if err := c.zero(ctx, v.ID, d); err != nil {
		return Volume{}, err
	}
	args := slices.Concat([]string{"--deltag", TagWiping}, properties, []string{v.ID.String()})
	ran := c.change(ctx, "lvchange", args...)
	if now, err = c.entry(ctx, v.ID); err != nil {
		return Volume{}, err
	}
	if now.Unwiped() {
		return Volume{}, contradicts("the tag is still there", ran)
	}
	now.Open = false // it was us
	return now.Volume, nil
}

// openMarked activates a volume and opens it, exclusively: of two that wipe the
// same volume the second is refused here, and so can not zero what the first
// has handed to its owner meanwhile.
func (c *Client) openMarked(ctx context.Context, v Volume) (*device, error) {
	ran := c.change(ctx, "lvchange", "-ay", "-K", v.ID.String())
	if ran != nil && ctx.Err() != nil {
		return nil, ran
	}
	d, err := openAlone(v.Path)
	if errors.Is(err, fs.ErrNotExist) { // udev is late, or it is not active
		if err := c.isOn(ctx, v.ID, ran); err != nil {
			return nil, err
		}
		d, err = openAlone(v.Path)
	}
	return d, err
}

// zero zeroes all of d and looks at samples of it.
func (c *Client) zero(ctx context.Context, id ID, d Device) error {
	for off := int64(0); off < d.Size(); off += wipeStep {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(wipeStep, d.Size()-off)
		if err := d.Zero(off, n); err != nil {
			return err
		}
		if c.options.Wiped != nil {
			c.options.Wiped(id, off+n, d.Size())
		}
	}
	if err := d.Sync(); err != nil {
		return err
	}
	return sample(d)
}

// sample reads 64 places of d, the first and the last among them: a device that
// drops writes, or does not zero when it says so, is noticed.
func sample(d Device) error {
	const places, length = 64, 4096
	buf, zeros := make([]byte, length), make([]byte, length)
	last := max(0, d.Size()-length)
	for i := range int64(places) {
		off := last / (places - 1) * i
		if i == places-1 {
			off = last
		}
		n := min(length, d.Size()-off)
		if _, err := d.ReadAt(buf[:n], off); err != nil {
			return err
		}
		if !bytes.Equal(buf[:n], zeros[:n]) {
			return fmt.Errorf("byte %d and on do not read as zeros after they were zeroed", off)
		}
	}
	return nil
}
