package xl

import (
	"context"
	"errors"
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
	return d.drive(ctx, "insert", id, dev, path, func() error { return xlcfg.Image(path) }, "cd-insert", path)
}

// Eject implements xen.Media.
//
//	xl cd-eject DOMID hdc
func (d *Driver) Eject(ctx context.Context, id uuid.UUID, dev string) error {
	return d.drive(ctx, "eject", id, dev, "", func() error { return nil }, "cd-eject")
}

// drive runs a command on a drive and reads back that path lies in it.
func (d *Driver) drive(ctx context.Context, op string, id uuid.UUID, dev, path string, valid func() error, command string, more ...string) error {
	return d.onLive(ctx, op, id, func(dom xen.Domain) error {
		var said answer
		err := d.verbs.Drive(ctx, id, dev, path, func() (xen.Spec, error) { return d.config(ctx, dom) }, valid, func() error {
			said = d.run(ctx, d.opts.Limits.Attach, append([]string{"xl", command, strconv.Itoa(dom.ID), dev}, more...)...)
			if said.err != nil {
				return said.failure()
			}
			return nil
		})
		if errors.Is(err, verb.ErrOtherwise) { // xl exits 0 then, and may have said why
			err = explain(said.stderr, err)
		}
		return err
	})
}
