package handover

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Snapshot implements Source. The volumes are opened too, so that nothing has
// to be opened when the guest is down.
func (l *Local) Snapshot(ctx context.Context) error {
	if err := l.must(owner.Prepared); err != nil {
		return err
	}
	if err := l.closeDevices(); err != nil {
		return err
	}
	snapshots, err := l.hold.Snapshot(ctx)
	if err != nil {
		return err
	}
	l.snapshots, l.changed = snapshots, make(map[string][]lvm.Extent)
	for dev, s := range snapshots {
		d, err := l.disk(dev)
		if err != nil {
			return err
		}
		for _, id := range []lvm.ID{s.ID, d.Volume} {
			if _, err := l.device(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// Changed implements Source.
func (l *Local) Changed(ctx context.Context, dev string) (int64, error) {
	s, err := l.snapshot(dev)
	if err != nil {
		return 0, err
	}
	changed, err := l.host.Volumes().Changed(ctx, s.ID)
	if err != nil {
		return 0, err
	}
	l.changed[dev] = append([]lvm.Extent{}, changed...) // never nil, which is "all" to Send
	return total(changed), nil
}

func (l *Local) snapshot(dev string) (lvm.Volume, error) {
	s, ok := l.snapshots[dev]
	if !ok {
		return lvm.Volume{}, fmt.Errorf("%w: no snapshot of disk %q was made under this hold", lvm.ErrInvalid, dev)
	}
	return s, nil
}

// Send implements Source.
func (l *Local) Send(ctx context.Context, from Reading, t blockcopy.Transfer, w io.Writer) (blockcopy.Stats, error) {
	if err := l.must(owner.Prepared); err != nil {
		return blockcopy.Stats{}, err
	}
	id, extents, err := l.reading(from)
	if err != nil {
		return blockcopy.Stats{}, err
	}
	device, err := l.device(ctx, id)
	if err != nil {
		return blockcopy.Stats{}, err
	}
	if device.Size() != t.Size {
		return blockcopy.Stats{}, fmt.Errorf("%w: volume %s has %d bytes, not %d", lvm.ErrInvalid, id, device.Size(), t.Size)
	}
	opts := &blockcopy.SendOptions{}
	if extents != nil {
		opts.Changes = blockcopy.Extents(extents)
	}
	if opts.Index, err = l.draft(from.Dev, t); err != nil {
		return blockcopy.Stats{}, err
	}
	stats, err := blockcopy.Send(ctx, w, device, t, opts)
	if opts.Index != nil { // what is sent from now on it does not know
		err = errors.Join(err, opts.Index.Close(), l.forget())
	}
	return stats, err
}

// reading returns the volume to read and the part of it.
func (l *Local) reading(from Reading) (lvm.ID, []lvm.Extent, error) {
	d, err := l.disk(from.Dev)
	if err != nil {
		return lvm.ID{}, nil, err
	}
	switch from.What {
	case AsIs:
		return d.Volume, nil, nil
	case AsSnapshot:
		s, err := l.snapshot(from.Dev)
		return s.ID, nil, err
	case AsChanged:
		if extents := l.changed[from.Dev]; extents != nil {
			return d.Volume, extents, nil
		}
	}
	return lvm.ID{}, nil, fmt.Errorf("%w: read %q of disk %q", lvm.ErrInvalid, from.What, from.Dev)
}

// Fence implements Source.
func (l *Local) Fence(ctx context.Context, epoch uint64) error {
	l.snapshots, l.changed = nil, nil
	if err := l.must(owner.Prepared, owner.Fenced, owner.Released); err != nil {
		return err
	}
	if err := l.closeDevices(); err != nil {
		return err
	}
	return l.hold.Fence(ctx, epoch)
}

// Unfence implements Source.
func (l *Local) Unfence(ctx context.Context) error {
	l.snapshots, l.changed = nil, nil
	if err := l.must(owner.Prepared, owner.Running, owner.Fenced); err != nil {
		return err
	}
	if err := l.closeDevices(); err != nil {
		return err
	}
	if err := l.hold.DropSnapshots(ctx); err != nil {
		return err
	}
	return l.hold.Unfence(ctx)
}

// PutAside implements Source.
func (l *Local) PutAside(ctx context.Context) error {
	if err := l.must(owner.Fenced); err != nil {
		return err
	}
	return l.hold.PutAside(ctx)
}
