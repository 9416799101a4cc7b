package lvm

import "context"

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
