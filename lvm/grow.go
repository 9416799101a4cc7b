package lvm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Grow implements Reshaper. LVM adds extents as their last owner left them, and
// a domain that has the volume open sees them at once. So a thick volume grows
// by extents that were wiped before, as a volume of their own, made as Create
// makes one and marked with TagGrow:
//
//	lvm lvs -o seg_pe_ranges guests/grow-5c1bf1d3b8a5a5c9
//	lvm lvremove -y guests/grow-5c1bf1d3b8a5a5c9
//	lvm lvextend -y -i 1 -l +256 guests/web1 /dev/sdb:1024-1279
//
// Between the last two, for the time of a command, the extents are free: if
// others take them lvextend fails, and the volume is as it was. Killed anywhere
// before, Grow leaves a volume that the next Grow removes. Thin volumes, pools,
// and volumes that are still to be wiped take one command:
//
//	lvm lvextend -y -l 512 guests/web1
func (c *Client) Grow(ctx context.Context, id ID, size int64) (Volume, error) {
	v, err := c.grow(ctx, id, size)
	if err != nil {
		return Volume{}, failed("grow", id.String(), err)
	}
	return v, nil
}

func (c *Client) grow(ctx context.Context, id ID, size int64) (Volume, error) {
	if err := id.Valid(); err != nil {
		return Volume{}, err
	}
	group, entries, err := c.state(ctx, id.Group)
	if err != nil {
		return Volume{}, err
	}
	want, err := FitsGrow(group, volumes(entries), id.Name, size)
	if err != nil {
		return Volume{}, err
	}
	v, _ := find(volumes(entries), id.Name)
	if want == v.Size {
		return v, c.reaches(v)
	}
	var ran error
	if v.Kind == Thick && !v.Unwiped() {
		ran, err = c.growWiped(ctx, group, v, want-v.Size)
	} else {
		ran = c.change(ctx, "lvextend", "-y", "-l", strconv.FormatInt(want/group.Extent, 10), id.String())
	}
	if err != nil {
		return Volume{}, err
	}
	if ran != nil && ctx.Err() != nil {
		return Volume{}, ran
	}
	now, err := c.Volume(ctx, id)
	if err != nil {
		return Volume{}, err
	}
	if now.Size != want {
		return Volume{}, c.whyNotGrown(ctx, now, want, ran)
	}
	return now, c.reaches(now)
}

// growWiped returns the error of the lvextend that gave v so many bytes more,
// all of them zero, and err if it did not come to that.
func (c *Client) growWiped(ctx context.Context, group Group, v Volume, more int64) (ran, err error) {
	spare := Spec{ID: growID(v.ID), Size: more, Tags: []string{TagGrow + v.Name}, Skip: true, Inactive: true}
	if err := c.dropLeft(ctx, spare); err != nil {
		return nil, err
	}
	if _, err := c.create(ctx, spare); err != nil {
		return nil, fmt.Errorf("%s, which it is to grow by: %w", spare.Name, err)
	}
	ranges, err := c.ranges(ctx, spare.ID)
	if err != nil {
		return nil, err
	}
	if err := c.change(ctx, "lvremove", "-y", spare.ID.String()); err != nil {
		return nil, err
	}
	args := []string{"-y", "-i", "1", "-l", "+" + strconv.FormatInt(more/group.Extent, 10), v.ID.String()}
	return c.change(ctx, "lvextend", append(args, ranges...)...), nil
}

// growID names what a volume is to grow by, whatever the volume is called.
func growID(id ID) ID {
	sum := sha256.Sum256([]byte(id.Name))
	return ID{Group: id.Group, Name: "grow-" + hex.EncodeToString(sum[:8])}
}

// dropLeft removes what a Grow left that was killed.
func (c *Client) dropLeft(ctx context.Context, spare Spec) error {
	entries, err := c.entries(ctx, spare.Group)
	if err != nil {
		return err
	}
	left, ok := find(volumes(entries), spare.Name)
	if !ok || !slices.Contains(left.Tags, spare.Tags[0]) {
		return nil
	}
	if err := c.remove(ctx, spare.ID); err != nil {
		return fmt.Errorf("%s, left by another one that grew it: %w", spare.Name, err)
	}
	return nil
}

// ranges returns the extents of a volume as lvextend takes them, as
// /dev/sdb:1024-1279.
func (c *Client) ranges(ctx context.Context, id ID) ([]string, error) {
	out, err := c.read(ctx, "lvs", "--reportformat", "json", "--segments", "-o", "seg_pe_ranges", id.String())
	if err != nil {
		return nil, err
	}
	return parseRanges(out)
}

func parseRanges(data []byte) ([]string, error) {
	var r struct {
		Report []struct {
			Segments []struct {
				Ranges string `json:"seg_pe_ranges"`
			} `json:"seg"`
		} `json:"report"`
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("report of segments: %w", err)
	}
	var ranges []string
	for _, part := range r.Report {
		for _, s := range part.Segments {
			for _, one := range strings.Fields(s.Ranges) {
				if !extentRange.MatchString(one) {
					return nil, fmt.Errorf("report of segments: range %q", one)
				}
				ranges = append(ranges, one)
			}
		}
	}
	if len(ranges) == 0 {
		return nil, errors.New("report of segments: none")
	}
	return ranges, nil
}

// reaches looks whether the device node of an active volume shows its size.
func (c *Client) reaches(v Volume) error {
	if !v.Active || v.Kind == Pool {
		return nil
	}
	d, err := openReadOnly(v.Path)
	if err != nil {
		return err
	}
	if d.Size() != v.Size {
		err = fmt.Errorf("%s has %d bytes, the volume %d: lvchange --refresh %s", v.Path, d.Size(), v.Size, v.ID)
	}
	return errors.Join(err, d.Close())
}

// whyNotGrown says why lvextend failed, by what is there now.
func (c *Client) whyNotGrown(ctx context.Context, v Volume, want int64, ran error) error {
	group, entries, err := c.state(ctx, v.Group)
	if err != nil {
		return errors.Join(err, ran)
	}
	if _, err := FitsGrow(group, volumes(entries), v.Name, want); err != nil {
		return err
	}
	return contradicts(fmt.Sprintf("it has %d bytes and not %d", v.Size, want), ran)
}
