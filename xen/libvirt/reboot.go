package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Reboot implements xen.Rebooter.
//
//	virDomainReboot
//
// It is libvirtd that starts the guest again, with all that is attached to it.
// It does not keep weight and cap, so this verb sets them again; after a reboot
// that the guest did by itself they are Xen's defaults.
func (d *Driver) Reboot(ctx context.Context, id uuid.UUID, opts *xen.RebootOptions) (again xen.Domain, err error) {
	err = d.onLive(ctx, "reboot", id, func(dom xen.Domain) error {
		now, err := d.config(ctx, dom)
		if err == nil {
			err = verb.Rebootable(dom, now.OnReboot)
		}
		if err != nil {
			return err
		}
		deadline := verb.RebootDeadline(opts)
		said := d.call(ctx, min(verb.Remaining(deadline), d.opts.Limits.Shutdown), func(l *rpc.Libvirt) error {
			return l.DomainReboot(handle(dom), rpc.DomainRebootDefault)
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(said, errors.ErrUnsupported), errors.Is(said, fs.ErrNotExist), errors.Is(said, fs.ErrPermission):
			return said
		}
		again, err = d.verbs.Returned(ctx, dom, deadline, d.lookup)
		if err != nil && said != nil {
			err = fmt.Errorf("%w: %w", err, said)
		}
		if err == nil && sharesCPU(now) {
			err = d.setShare(ctx, id, xen.Share{Weight: now.Weight, Cap: now.Cap})
		}
		return err
	})
	if err != nil {
		return xen.Domain{}, err
	}
	d.verbs.Log.InfoContext(ctx, "domain rebooted", "uuid", id, "domid", again.ID)
	return again, nil
}
