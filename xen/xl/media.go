package xl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
	"github.com/xenhost/xenhost/xen/xlcfg"
)

// Insert implements xen.Media.
//
//	xl cd-insert DOMID hdc /srv/install.iso
func (d *Driver) Insert(ctx context.Context, id uuid.UUID, dev, path string) error {
	return d.drive(ctx, "insert", id, dev, func() error { return xlcfg.Image(path) }, path, "cd-insert", path)
}

// Eject implements xen.Media.
//
//	xl cd-eject DOMID hdc
func (d *Driver) Eject(ctx context.Context, id uuid.UUID, dev string) error {
	return d.drive(ctx, "eject", id, dev, func() error { return nil }, "", "cd-eject")
}

// drive runs a command on a drive and reads back that path lies in it.
func (d *Driver) drive(ctx context.Context, op string, id uuid.UUID, dev string, valid func() error, path, command string, more ...string) error {
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
		if at := drive(now, dev); at < 0 {
			return fmt.Errorf("it has no drive %s: %w", dev, fs.ErrNotExist)
		}
		a := d.run(ctx, d.opts.Limits.Attach, append([]string{"xl", command, strconv.Itoa(dom.ID), dev}, more...)...)
		if a.err != nil {
			return a.failure()
		}
		if now, err = d.config(ctx, dom); err != nil {
			return err
		}
		if at := drive(now, dev); at < 0 || now.Disks[at].Path != path {
			return explain(a.stderr, fmt.Errorf("xl exits 0, and the drive is not as it should be"))
		}
		d.verbs.Log.InfoContext(ctx, "drive changed", "uuid", id, "dev", dev, "path", path)
		return nil
	})
}

func drive(spec xen.Spec, dev string) int {
	return slices.IndexFunc(spec.Disks, func(x xen.Disk) bool { return x.Dev == dev && x.CDROM })
}
