package xl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Reboot implements xen.Rebooter.
//
//	xl reboot DOMID
//
// It is the domain's monitor that starts it again, after two seconds. Up to
// Xen 4.19 a domain that was saved, or whose move failed, has none any more; a
// supervisor has to do it then.
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
		a := d.run(ctx, min(verb.Remaining(deadline), d.opts.Limits.Shutdown), "xl", "reboot", strconv.Itoa(dom.ID))
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := a.failure(); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist) {
			return err
		}
		again, err = d.verbs.Returned(ctx, dom, deadline, d.lookup)
		if err != nil && a.err != nil {
			err = fmt.Errorf("%w: %w", err, a.failure())
		}
		return err
	})
	if err != nil {
		return xen.Domain{}, err
	}
	d.verbs.Log.InfoContext(ctx, "domain rebooted", "uuid", id, "domid", again.ID)
	return again, nil
}
