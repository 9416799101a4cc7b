package lvm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// GrowRoom implements Reshaper. For a thick snapshot and for a pool it is
//
//	lvm lvextend -y -l 512 guests/web1-snap
//	lvm lvextend -y --poolmetadatasize +4194304b guests/pool
//
// Afterwards there is the room that both see, the kernel as Fill asks it and LVM
// in its metadata on the disk.
func (c *Client) GrowRoom(ctx context.Context, id ID, size int64) (Fill, error) {
	fill, err := c.growRoom(ctx, id, size)
	if err != nil {
		return Fill{}, failed("grow room", id.String(), err)
	}
	return fill, nil
}

func (c *Client) growRoom(ctx context.Context, id ID, size int64) (Fill, error) {
	if err := id.Valid(); err != nil {
		return Fill{}, err
	}
	group, v, have, err := c.room(ctx, id)
	if err != nil {
		return Fill{}, err
	}
	want, err := FitsRoom(group, v, have, size)
	if err != nil || want == have.room(v.Kind) {
		return have, err
	}
	args := []string{"-y", "-l", strconv.FormatInt(want/group.Extent, 10), id.String()}
	if v.Kind == Pool {
		args = []string{"-y", "--poolmetadatasize", "+" + strconv.FormatInt(want-have.MetaSize, 10) + "b", id.String()}
	}
	ran := c.change(ctx, "lvextend", args...)
	if ran != nil && ctx.Err() != nil {
		return Fill{}, ran
	}
	group, v, now, err := c.room(ctx, id)
	switch {
	case err != nil:
		return Fill{}, err
	case now.room(v.Kind) >= want:
		return now, nil
	}
	if _, err := FitsRoom(group, v, now, size); err != nil { // others took it meanwhile
		return Fill{}, err
	}
	return Fill{}, contradicts(fmt.Sprintf("it has room of %d bytes and not %d", now.room(v.Kind), want), ran)
}

// room returns what is to grow, as LVM and as the kernel know it.
func (c *Client) room(ctx context.Context, id ID) (Group, Volume, Fill, error) {
	group, entries, err := c.state(ctx, id.Group)
	if err != nil {
		return group, Volume{}, Fill{}, err
	}
	v, err := pick(volumes(entries), id.Name)
	if err != nil {
		return group, v, Fill{}, err
	}
	if v.Kind != Snapshot && v.Kind != Pool { // FitsRoom says so
		return group, v, Fill{}, nil
	}
	fill, err := c.fill(ctx, id)
	if err != nil {
		return group, v, fill, err
	}
	written, err := c.writtenRoom(ctx, v)
	if v.Kind == Pool {
		fill.MetaSize = min(fill.MetaSize, written)
	} else {
		fill.Size = min(fill.Size, written)
	}
	return group, v, fill, err
}

// writtenRoom returns the room that LVM's metadata says.
func (c *Client) writtenRoom(ctx context.Context, v Volume) (int64, error) {
	field := "lv_size" // of a snapshot
	if v.Kind == Pool {
		field = "lv_metadata_size"
	}
	out, err := c.read(ctx, "lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", field, v.ID.String())
	if err != nil {
		return 0, err
	}
	return parseRoom(out, field, v.ID.String())
}

func parseRoom(data []byte, field, name string) (room int64, err error) {
	var r struct {
		Report []struct {
			Volumes []map[string]string `json:"lv"`
		} `json:"report"`
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return 0, fmt.Errorf("report of room: %w", err)
	}
	if len(r.Report) == 0 || len(r.Report[0].Volumes) == 0 {
		return 0, errors.New("report of room: none")
	}
	return room, parseSizes(name, map[*int64]string{&room: r.Report[0].Volumes[0][field]})
}
