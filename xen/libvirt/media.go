package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
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
		return d.verbs.Drive(ctx, id, dev, path, func() (xen.Spec, error) { return d.config(ctx, dom) }, valid, func() error {
			x := drive(dev, path)
			text, err := x.Marshal()
			if err != nil {
				return err
			}
			return d.call(ctx, d.opts.Limits.Attach, func(l *rpc.Libvirt) error {
				return l.DomainUpdateDeviceFlags(handle(dom), text, rpc.DomainDeviceModifyLive)
			})
		})
	})
}
