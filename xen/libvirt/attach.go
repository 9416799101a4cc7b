package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	rpc "github.com/digitalocean/go-libvirt"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// attach attaches a device and reads it back. What a failed attach left is
// taken away: libxl leaves the device half made, libvirt forgets it, so that it
// can be neither detached nor attached again through libvirt, and xl sees it.
func (d *Driver) attach(ctx context.Context, dom xen.Domain, p plug) error {
	text, err := p.marshal()
	if err != nil {
		return err
	}
	before, blind := d.xl.Config(ctx, dom.UUID)
	if blind == nil && p.in(before) {
		return fmt.Errorf("it has %s, by xl and unknown to libvirt: %w", p.what, fs.ErrExist)
	}
	failed := d.call(ctx, d.opts.Limits.Attach, func(l *rpc.Libvirt) error {
		return l.DomainAttachDeviceFlags(handle(dom), text, uint32(rpc.DomainDeviceModifyLive))
	})
	switch {
	case failed == nil:
		now, err := d.config(ctx, dom)
		if err == nil && !p.in(now) {
			err = errors.New("libvirt did it, and the device is not there")
		}
		if err == nil {
			d.verbs.Log.InfoContext(ctx, "device attached", "uuid", dom.UUID, "device", p.what)
		}
		return err
	case !unclear(failed) && codeOf(failed) != rpc.ErrInternalError:
		return failed // refused before libxl was asked
	}
	after, cancel := verb.After(ctx, d.opts.Limits.Query+2*d.opts.Limits.Attach)
	defer cancel()
	left := blind // what was there before is not known
	if blind == nil {
		left = d.clear(after, dom, p)
	}
	if left != nil {
		return fmt.Errorf("%w; %w: %w", failed, xen.ErrDirty, left)
	}
	if unclear(failed) {
		return failed
	}
	return fmt.Errorf("%w; %s", failed, reasons)
}

// clear takes a device away that may be there, in part or whole. libvirt
// answers only when it is through with an attach that was cut short.
func (d *Driver) clear(ctx context.Context, dom xen.Domain, p plug) error {
	now, err := d.config(ctx, dom)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // with the domain
	}
	if err != nil {
		return err
	}
	if p.in(now) {
		if err := d.unplug(ctx, dom, p); err != nil {
			return err
		}
	}
	if err := p.remove(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// force takes a disk away without asking the guest; whether it did is seen
// afterwards.
func (d *Driver) force(ctx context.Context, dom xen.Domain, dev string) {
	limit, cancel := context.WithTimeout(ctx, d.opts.Limits.Attach)
	defer cancel()
	_, _ = dom0.Output(limit, d.opts.Runner, "xl", "block-detach", "-f", strconv.Itoa(dom.ID), dev)
}
