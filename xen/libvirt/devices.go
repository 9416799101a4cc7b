package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// AttachDisk implements xen.Devices. What libvirt would not tell from another
// failure is looked at before.
//
//	virDomainAttachDeviceFlags, with VIR_DOMAIN_AFFECT_LIVE
func (d *Driver) AttachDisk(ctx context.Context, id uuid.UUID, more xen.Disk) error {
	if err := errors.Join(more.Validate(), refuseText("path", more.Path)); err != nil {
		return verb.Wrap("attach disk", id.String(), err)
	}
	return d.onLive(ctx, "attach disk", id, func(dom xen.Domain) error {
		now, err := d.config(ctx, dom)
		if err != nil {
			return err
		}
		for _, look := range []func() error{
			func() error { return verb.Free(now, more) },
			func() error { return missing([]xen.Disk{more}) },
			func() error { return d.busy(ctx, xen.Spec{UUID: id, Disks: []xen.Disk{more}}) },
		} {
			if err := look(); err != nil {
				return err
			}
		}
		x := disk(more)
		return d.attach(ctx, dom, plug{
			what: more.Dev, marshal: x.Marshal,
			in:     func(s xen.Spec) bool { return diskAt(s, more.Dev) >= 0 },
			remove: func(ctx context.Context) error { return d.removeDisk(ctx, dom, more.Dev) },
		})
	})
}

// DetachDisk implements xen.Devices.
//
//	virDomainDetachDeviceFlags, with VIR_DOMAIN_AFFECT_LIVE
func (d *Driver) DetachDisk(ctx context.Context, id uuid.UUID, dev string) error {
	if !xen.ValidDisk(dev) {
		return verb.Wrap("detach disk", id.String(), verb.Refused("dev", dev, "is not xvda to xvdp"))
	}
	return d.onLive(ctx, "detach disk", id, func(dom xen.Domain) error {
		now, err := d.config(ctx, dom)
		if err != nil {
			return err
		}
		p := plug{what: dev, in: func(s xen.Spec) bool { return diskAt(s, dev) >= 0 }}
		if at := diskAt(now, dev); at >= 0 {
			x := disk(now.Disks[at])
			p.marshal = x.Marshal
		}
		return d.detach(ctx, dom, now, p)
	})
}

func diskAt(spec xen.Spec, dev string) int {
	return slices.IndexFunc(spec.Disks, func(x xen.Disk) bool { return x.Dev == dev })
}

// AttachVif implements xen.Devices.
//
//	virDomainAttachDeviceFlags, with VIR_DOMAIN_AFFECT_LIVE
func (d *Driver) AttachVif(ctx context.Context, id uuid.UUID, more xen.Vif) error {
	if err := more.Validate(); err != nil {
		return verb.Wrap("attach vif", id.String(), err)
	}
	return d.onLive(ctx, "attach vif", id, func(dom xen.Domain) error {
		p, err := d.platform(ctx)
		if err == nil {
			err = p.refuseName("name", more.Name)
		}
		if err != nil {
			return err
		}
		now, err := d.config(ctx, dom)
		if err != nil {
			return err
		}
		if vifAt(now, more.MAC) >= 0 {
			return fmt.Errorf("it has a vif %s: %w", more.MAC, fs.ErrExist)
		}
		if _, err := os.Lstat(filepath.Join("/sys/class/net", more.Name)); err == nil {
			return fmt.Errorf("dom0 has an interface %s: %w", more.Name, fs.ErrExist)
		}
		if _, err := os.Stat(bridgeNode(more)); err != nil {
			return fmt.Errorf("bridge: %w: %v", xen.ErrInvalid, err) //nolint:errorlint // fs.ErrNotExist is the domain
		}
		x := vif(more)
		return d.attach(ctx, dom, plug{
			what: more.MAC.String(), marshal: x.Marshal,
			in:     func(s xen.Spec) bool { return vifAt(s, more.MAC) >= 0 },
			remove: func(ctx context.Context) error { return d.xl.DetachVif(ctx, dom.UUID, more.MAC) },
		})
	})
}

// DetachVif implements xen.Devices.
//
//	virDomainDetachDeviceFlags, with VIR_DOMAIN_AFFECT_LIVE
func (d *Driver) DetachVif(ctx context.Context, id uuid.UUID, mac xen.MAC) error {
	return d.onLive(ctx, "detach vif", id, func(dom xen.Domain) error {
		now, err := d.config(ctx, dom)
		if err != nil {
			return err
		}
		p := plug{what: mac.String(), in: func(s xen.Spec) bool { return vifAt(s, mac) >= 0 }}
		if at := vifAt(now, mac); at >= 0 {
			x := vif(now.Vifs[at])
			p.marshal = x.Marshal
		}
		return d.detach(ctx, dom, now, p)
	})
}

func vifAt(spec xen.Spec, mac xen.MAC) int {
	return slices.IndexFunc(spec.Vifs, func(x xen.Vif) bool { return x.MAC == mac })
}

// removeDisk takes a disk away by xl; fs.ErrNotExist: xl sees none.
func (d *Driver) removeDisk(ctx context.Context, dom xen.Domain, dev string) error {
	err := d.xl.DetachDisk(ctx, dom.UUID, dev)
	if !errors.Is(err, xen.ErrBusy) {
		return err
	}
	d.force(ctx, dom, dev) // a paused guest does not answer
	return d.xl.DetachDisk(ctx, dom.UUID, dev)
}

// plug is a device on its way to a domain or from it.
type plug struct {
	what    string
	marshal func() (string, error)          // its XML
	in      func(xen.Spec) bool             // libvirt has it
	remove  func(ctx context.Context) error // by xl; fs.ErrNotExist: xl sees none
}

func (d *Driver) detach(ctx context.Context, dom xen.Domain, now xen.Spec, p plug) error {
	if !p.in(now) {
		return fmt.Errorf("it has no %s: %w", p.what, fs.ErrNotExist)
	}
	said := d.unplug(ctx, dom, p)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now, err := d.config(ctx, dom)
	switch {
	case err != nil:
		return err
	case !p.in(now):
		d.verbs.Log.InfoContext(ctx, "device detached", "uuid", dom.UUID, "device", p.what)
		return nil
	case codeOf(said) != rpc.ErrInternalError && said != nil:
		return said
	}
	return errors.Join(fmt.Errorf("the guest does not let go of %s: %w", p.what, xen.ErrBusy), said)
}

func (d *Driver) unplug(ctx context.Context, dom xen.Domain, p plug) error {
	text, err := p.marshal()
	if err != nil {
		return err
	}
	return d.call(ctx, d.opts.Limits.Attach, func(l *rpc.Libvirt) error {
		return l.DomainDetachDeviceFlags(handle(dom), text, uint32(rpc.DomainDeviceModifyLive))
	})
}
