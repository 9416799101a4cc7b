package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
)

// Reinstall makes disks of a guest anew: those that opts.Images names, with what
// they are given there. The guest is stopped as by Stop and started again unless
// it is off, suspended, or opts.Stopped says so. Identity, network, rates and the
// other disks stay.
//
// The old content is gone from the first moment. What fails or is cut off in the
// middle leaves a guest that does not start, and another Reinstall finishes it;
// an image is best looked at before (image.Open).
func (h *Host) Reinstall(ctx context.Context, id uuid.UUID, opts *ProvisionOptions) error {
	l, err := h.Hold(id)
	if err != nil {
		return err
	}
	defer l.Release()
	if opts == nil {
		opts = &ProvisionOptions{}
	}
	if err := l.reinstall(ctx, opts); err != nil {
		return &Error{Op: "reinstall", Name: l.name(), Err: err}
	}
	h.log.Info("reinstalled", "guest", l.name(), "uuid", id)
	return nil
}

func (l *Hold) reinstall(ctx context.Context, opts *ProvisionOptions) error {
	g, err := l.ours()
	if err != nil {
		return err
	}
	if len(opts.Images) == 0 {
		return fmt.Errorf("%w: no disk is named", ErrInvalid)
	}
	for dev := range opts.Images {
		if !slices.ContainsFunc(g.Disks, func(d Disk) bool { return d.Dev == dev }) {
			return fmt.Errorf("%w: disk %s", fs.ErrNotExist, dev)
		}
	}
	claim, err := l.h.admit(ctx, g, "reinstall", false, nil) // so that nobody takes the room in between
	if err != nil {
		return err
	}
	defer claim.Release()
	if _, err := l.Stop(ctx); err != nil {
		return err
	}
	if err := errors.Join(l.DropSnapshots(ctx), l.dropReplicaSnapshots(ctx, g, "")); err != nil {
		return err
	}
	for i, d := range g.Disks {
		if _, ok := opts.Images[d.Dev]; !ok {
			continue
		}
		v, err := l.h.volumes.Volume(ctx, d.Volume)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case !belongs(v, l.id):
			return fmt.Errorf("volume %s: %w", v.ID, ErrForeign)
		default:
			if err := l.h.volumes.Remove(ctx, v.ID); err != nil {
				return err
			}
		}
		if g.Disks[i].Size, err = l.h.makeDisk(ctx, l.id, d, opts); err != nil {
			return err
		}
	}
	if g.Off || g.Suspended != nil || opts.Stopped {
		return nil
	}
	_, err = l.start(ctx)
	return err
}

// wipeStep is how much is zeroed between two looks at the context, in bytes.
const wipeStep = 16 << 20

// Wipe fills the volumes of a guest that does not run with zeros, and looks at
// none of them again: the next owner of the room reads zeros in any case (see
// lvm.Maker.Create), but so nothing of the guest is left on the disk from now on.
// Thin volumes are left out: their pool hands out no old blocks. A guest that is
// wiped is of no use but to Terminate or Reinstall. ErrBusy: it runs.
func (h *Host) Wipe(ctx context.Context, id uuid.UUID) error {
	l, err := h.Hold(id)
	if err != nil {
		return err
	}
	defer l.Release()
	if err := l.wipe(ctx); err != nil {
		return &Error{Op: "wipe", Name: l.name(), Err: err}
	}
	return nil
}

func (l *Hold) wipe(ctx context.Context) error {
	g, err := l.ours()
	if err != nil {
		return err
	}
	if d, err := l.Domain(ctx); err != nil || d != nil {
		return errors.Join(err, ErrBusy)
	}
	if err := errors.Join(l.DropSnapshots(ctx), l.dropReplicaSnapshots(ctx, g, "")); err != nil {
		return err
	}
	for _, d := range g.Disks {
		v, err := l.h.volumes.Volume(ctx, d.Volume)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!belongs(v, l.id) || v.Kind != lvm.Thick) {
			continue
		}
		if err == nil && !v.Active {
			err = l.h.volumes.Activate(ctx, v.ID)
		}
		if err == nil {
			err = l.zero(ctx, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *Hold) zero(ctx context.Context, v lvm.Volume) (err error) {
	dev, err := l.h.volumes.Open(ctx, v.ID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	for at := int64(0); at < dev.Size(); at += wipeStep {
		if err := errors.Join(ctx.Err(), dev.Zero(at, min(wipeStep, dev.Size()-at))); err != nil {
			return err
		}
	}
	return dev.Sync()
}
