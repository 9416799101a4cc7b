package xl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
	"github.com/xenhost/xenhost/xen/xlcfg"
)

// AttachDisk implements xen.Devices. The path must lie below /dev. That the
// domain has the same device already, under whatever name, is seen here: Xen
// looks only at other domains.
//
//	xl block-attach DOMID format=raw,vdev=xvdb,access=rw,backendtype=phy,target=/dev/guests/data
func (d *Driver) AttachDisk(ctx context.Context, id uuid.UUID, disk xen.Disk) error {
	parameters, err := xlcfg.Disk(disk)
	if err != nil {
		return verb.Wrap("attach disk", id.String(), err)
	}
	return d.onLive(ctx, "attach disk", id, func(dom xen.Domain) error {
		now, err := d.config(ctx, dom)
		if err != nil {
			return err
		}
		if err := verb.Free(now, disk); err != nil {
			return err
		}
		a := d.run(ctx, d.opts.Limits.Attach, "xl", "block-attach", strconv.Itoa(dom.ID), parameters)
		err = d.attached(ctx, a, func(ctx context.Context) (bool, error) { return d.hasDisk(ctx, dom, disk.Dev) },
			[]string{"block-detach", strconv.Itoa(dom.ID), disk.Dev},
			[]string{"block-detach", "-f", strconv.Itoa(dom.ID), disk.Dev}) // a paused guest does not answer
		if err == nil {
			d.verbs.Log.InfoContext(ctx, "disk attached", "uuid", id, "dev", disk.Dev, "path", disk.Path)
		}
		return err
	})
}

// takenPlace is what xl says when it has not begun.
var takenPlace = regexp.MustCompile(`device already exists in xenstore`)

// attached reads back what an attach did, and takes away what a failed one
// left: libxl itself leaves the device half made.
func (d *Driver) attached(ctx context.Context, a answer, there func(context.Context) (bool, error), undo ...[]string) error {
	failed := a.failure()
	if failed == nil {
		ok, err := there(ctx)
		if err != nil || ok {
			return err
		}
		return explain(a.stderr, errors.New("xl says that it is attached, and it is not there"))
	}
	if takenPlace.MatchString(a.stderr) {
		return failed // what is there is not ours
	}
	ctx, cancel := verb.After(ctx, 2*d.opts.Limits.Detach+d.opts.Limits.Query)
	defer cancel()
	left, err := there(ctx)
	for _, argv := range undo {
		if err == nil && left {
			d.run(ctx, d.opts.Limits.Detach, append([]string{"xl"}, argv...)...) // its exit code says nothing
			left, err = there(ctx)
		}
	}
	if err == nil && left {
		err = errors.New("what it left can not be detached")
	}
	if err != nil {
		return fmt.Errorf("%w; %w: %w", failed, xen.ErrDirty, err)
	}
	return failed
}

func (d *Driver) hasDisk(ctx context.Context, dom xen.Domain, dev string) (bool, error) {
	a := d.run(ctx, d.opts.Limits.Query, "xl", "block-list", strconv.Itoa(dom.ID)) // exits 0 for what is not there
	if a.err != nil {
		return false, a.failure()
	}
	devs, err := parseBlocks(a.stdout)
	return slices.Contains(devs, dev), err
}

// DetachDisk implements xen.Devices.
//
//	xl block-detach DOMID DEV
func (d *Driver) DetachDisk(ctx context.Context, id uuid.UUID, dev string) error {
	if !xen.ValidDisk(dev) {
		return verb.Wrap("detach disk", id.String(), verb.Refused("dev", dev, "is not xvda to xvdp"))
	}
	return d.onLive(ctx, "detach disk", id, func(dom xen.Domain) error {
		return d.detach(ctx, id, dev, func(ctx context.Context) (bool, error) { return d.hasDisk(ctx, dom, dev) },
			"block-detach", strconv.Itoa(dom.ID), dev)
	})
}

// detach takes a device away that is there, and looks whether it is gone.
func (d *Driver) detach(ctx context.Context, id uuid.UUID, what string, there func(context.Context) (bool, error), argv ...string) error {
	ok, err := there(ctx)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("it has no %s: %w", what, fs.ErrNotExist)
	}
	a := d.run(ctx, d.opts.Limits.Detach, append([]string{"xl"}, argv...)...)
	if err := ctx.Err(); err != nil {
		return err
	}
	if ok, err = there(ctx); err != nil {
		return err
	}
	if ok {
		err = fmt.Errorf("the guest does not let go of %s: %w", what, xen.ErrBusy)
		if a.err != nil {
			err = fmt.Errorf("%w: %w", err, a.failure())
		}
		return err
	}
	d.verbs.Log.InfoContext(ctx, "device detached", "uuid", id, "device", what)
	return nil
}

// AttachVif implements xen.Devices.
//
//	xl network-attach DOMID mac=00:16:3e:00:00:01 bridge=xenbr0 vifname=web1.1
func (d *Driver) AttachVif(ctx context.Context, id uuid.UUID, vif xen.Vif) error {
	arguments, err := xlcfg.Vif(vif)
	if err != nil {
		return verb.Wrap("attach vif", id.String(), err)
	}
	return d.onLive(ctx, "attach vif", id, func(dom xen.Domain) error {
		has := func(ctx context.Context) (bool, error) { return d.hasVif(ctx, dom, vif.MAC) }
		switch there, err := has(ctx); {
		case err != nil:
			return err
		case there:
			return fmt.Errorf("it has a vif %s: %w", vif.MAC, fs.ErrExist)
		}
		a := d.run(ctx, d.opts.Limits.Attach, append([]string{"xl", "network-attach", strconv.Itoa(dom.ID)}, arguments...)...)
		err := d.attached(ctx, a, has, []string{"network-detach", strconv.Itoa(dom.ID), vif.MAC.String()})
		if err == nil {
			d.verbs.Log.InfoContext(ctx, "vif attached", "uuid", id, "vif", vif.Name, "mac", vif.MAC)
		}
		return err
	})
}

func (d *Driver) hasVif(ctx context.Context, dom xen.Domain, mac xen.MAC) (bool, error) {
	a := d.run(ctx, d.opts.Limits.Query, "xl", "network-list", strconv.Itoa(dom.ID))
	if a.err != nil {
		return false, a.failure()
	}
	macs, err := parseNICs(a.stdout)
	return slices.Contains(macs, mac), err
}

// DetachVif implements xen.Devices. xl takes what is not an address for a
// number, and anything for 0, so only addresses are given to it.
//
//	xl network-detach DOMID MAC
func (d *Driver) DetachVif(ctx context.Context, id uuid.UUID, mac xen.MAC) error {
	return d.onLive(ctx, "detach vif", id, func(dom xen.Domain) error {
		return d.detach(ctx, id, mac.String(), func(ctx context.Context) (bool, error) { return d.hasVif(ctx, dom, mac) },
			"network-detach", strconv.Itoa(dom.ID), mac.String())
	})
}
