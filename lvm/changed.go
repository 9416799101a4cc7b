package lvm

import (
	"context"
	"errors"
	"fmt"
)

// Changed implements Content. Of a thick snapshot it reads the table of the
// exception store, /dev/mapper/GROUP-SNAPSHOT-cow, 16 bytes for each 4 KiB that
// changed; chunks written through the snapshot itself are among them. Of a thin
// one it compares the two in the metadata of their pool, without a look at data:
//
//	dmsetup message guests-pool-tpool 0 reserve_metadata_snap
//	thin_delta -m --thin1 2 --thin2 1 /dev/mapper/guests-pool_tmeta
//	dmsetup message guests-pool-tpool 0 release_metadata_snap
//
// A pool has one place for such a copy of its metadata. Callers wait for each
// other, and what a killed one left is released; one that somebody else holds
// is ErrBusy. thin_delta is of the package thin-provisioning-tools, 0.9 or 1.x.
func (c *Client) Changed(ctx context.Context, snapshot ID) ([]Extent, error) {
	extents, err := c.changed(ctx, snapshot)
	if err != nil {
		return nil, failed("changed", snapshot.String(), err)
	}
	return extents, nil
}

func (c *Client) changed(ctx context.Context, id ID) ([]Extent, error) {
	e, err := c.entry(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case e.Origin == "":
		return nil, fmt.Errorf("%w: it is no snapshot", ErrInvalid)
	case e.Kind == Thin:
		return c.changedThin(ctx, e)
	case e.Kind != Snapshot:
		return nil, unsupported("of a volume of kind " + string(e.Kind))
	case e.invalid:
		return nil, ErrSnapshotInvalid
	case !e.Active:
		return nil, ErrInactive
	}
	return c.changedThick(e)
}

func (c *Client) changedThick(e entry) (extents []Extent, err error) {
	store, err := openReadOnly(c.mapperPath(e.ID, "-cow"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return readCOW(store, store.Size(), e.Size)
}

func (c *Client) changedThin(ctx context.Context, snapshot entry) ([]Extent, error) {
	origin, err := c.entry(ctx, ID{Group: snapshot.Group, Name: snapshot.Origin})
	switch {
	case err != nil:
		return nil, err
	case !origin.Active:
		return nil, fmt.Errorf("origin %s: %w", origin.Name, ErrInactive)
	case origin.thinID == "" || snapshot.thinID == "":
		return nil, fmt.Errorf("LVM shows no thin ids of %s and %s", origin.Name, snapshot.Name)
	}
	pool := ID{Group: snapshot.Group, Name: snapshot.Pool}
	var extents []Extent
	err = c.withMetadata(ctx, pool, func(device string) (err error) {
		extents, err = c.thinDelta(ctx, device, snapshot.thinID, origin.thinID, origin.Size)
		return err
	})
	return extents, err
}
