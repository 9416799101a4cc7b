package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Insert implements xen.Media.
//
//	virDomainUpdateDeviceFlags, with VIR_DOMAIN_AFFECT_LIVE
func (d *Driver) Insert(ctx context.Context, id uuid.UUID, dev, path string) error {
	return d.drive(ctx, "insert", id, dev, path, func() error {
		if err := errors.Join(xen.ValidImage(path), refuseText("path", path)); err != nil {
			return err
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: %v", xen.ErrInvalid, err) //nolint:errorlint // fs.ErrNotExist is the domain
		}
		return nil
	})
}

// Eject implements xen.Media.
//
//	virDomainUpdateDeviceFlags, with VIR_DOMAIN_AFFECT_LIVE
func (d *Driver) Eject(ctx context.Context, id uuid.UUID, dev string) error {
	return d.drive(ctx, "eject", id, dev, "", func() error { return nil })
}

// drive puts the image at path into a drive, or nothing, and reads it back.
func (d *Driver) drive(ctx context.Context, op string, id uuid.UUID, dev, path string, valid func() error) error {
	return d.onLive(ctx, op, id, func(dom xen.Domain) error {
		now, err := d.config(ctx, dom)
		switch {
		case err != nil:
			return err
		case now.Type != xen.HVM:
			return fmt.Errorf("a %s domain has no CD-ROM drive; attach the image as a read-only disk: %w", now.Type, errors.ErrUnsupported)
		case !xen.ValidDrive(dev):
			return verb.Refused("dev", dev, "is not hda to hdd")
		}
		if err := valid(); err != nil {
			return err
		}
		if at := driveOf(now, dev); at < 0 {
			return fmt.Errorf("it has no drive %s: %w", dev, fs.ErrNotExist)
		}
		x := drive(dev, path)
		text, err := x.Marshal()
		if err != nil {
			return err
		}
		err = d.call(ctx, d.opts.Limits.Attach, func(l *rpc.Libvirt) error {
			return l.DomainUpdateDeviceFlags(handle(dom), text, rpc.DomainDeviceModifyLive)
		})
		if err != nil {
			return err
		}
		if now, err = d.config(ctx, dom); err != nil {
			return err
		}
		if at := driveOf(now, dev); at < 0 || now.Disks[at].Path != path {
			return errors.New("libvirt did it, and the drive is not as it should be")
		}
		d.verbs.Log.InfoContext(ctx, "drive changed", "uuid", id, "dev", dev, "path", path)
		return nil
	})
}

func driveOf(spec xen.Spec, dev string) int {
	return slices.IndexFunc(spec.Disks, func(x xen.Disk) bool { return x.Dev == dev && x.CDROM })
}
