package lvm

import (
	"context"
	"errors"
	"fmt"
)

// Open implements Content. The device is opened with O_DIRECT: dom0's page
// cache knows nothing of what a domain writes, and must not write behind its
// back.
func (c *Client) Open(ctx context.Context, id ID) (Device, error) {
	d, err := c.open(ctx, id)
	if err != nil {
		return nil, failed("open", id.String(), err)
	}
	return d, nil
}

func (c *Client) open(ctx context.Context, id ID) (Device, error) {
	e, err := c.entry(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case e.Kind == Pool:
		return nil, unsupported("a pool has no content")
	case e.Unwiped():
		return nil, ErrUnwiped
	case !e.Active:
		return nil, ErrInactive
	case e.invalid:
		return nil, ErrSnapshotInvalid
	}
	return openDevice(e.Path)
}

// Changed implements Content. It reads the table of the snapshot's exception
// store, /dev/mapper/GROUP-SNAPSHOT-cow, 16 bytes for each 4 KiB that changed;
// chunks written through the snapshot itself are among them.
func (c *Client) Changed(ctx context.Context, snapshot ID) ([]Extent, error) {
	extents, err := c.changed(ctx, snapshot)
	return extents, failed("changed", snapshot.String(), err)
}

func (c *Client) changed(ctx context.Context, id ID) (extents []Extent, err error) {
	e, err := c.entry(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case e.Kind != Snapshot && e.Origin != "":
		return nil, unsupported("of a thin snapshot")
	case e.Kind != Snapshot:
		return nil, fmt.Errorf("%w: it is no snapshot", ErrInvalid)
	case e.invalid:
		return nil, ErrSnapshotInvalid
	case !e.Active:
		return nil, ErrInactive
	}
	store, err := openReadOnly(c.mapperPath(id, "cow"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return readCOW(store, store.Size(), e.Size)
}
