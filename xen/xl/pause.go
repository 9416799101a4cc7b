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

// Pause implements xen.Pauser.
//
//	xl pause DOMID
//
// xl exits 0 when that fails; the list tells.
func (d *Driver) Pause(ctx context.Context, id uuid.UUID) error {
	return d.turn(ctx, "pause", id, xen.Running, xen.Paused)
}

// Unpause implements xen.Pauser. A domain that others have paused several
// times is continued that often, up to eight times.
//
//	xl unpause DOMID
func (d *Driver) Unpause(ctx context.Context, id uuid.UUID) error {
	return d.turn(ctx, "unpause", id, xen.Paused, xen.Running)
}

func (d *Driver) turn(ctx context.Context, verb string, id uuid.UUID, from, to xen.State) error {
	return d.verbs.On(ctx, verb, id.String(), id, func() error {
		var last answer
		for range 8 {
			dom, err := d.lookup(ctx, id)
			switch {
			case err != nil:
				return err
			case dom.State == to:
				return nil
			case dom.State != from:
				return fmt.Errorf("domain is %s: %w", dom.State, xen.ErrBusy)
			}
			last = d.run(ctx, d.opts.Limits.Query, "xl", verb, strconv.Itoa(dom.ID))
			if last.err != nil {
				return last.failure()
			}
			d.verbs.Log.InfoContext(ctx, "domain "+verb+"d", "uuid", id, "domid", dom.ID)
		}
		return explain(last.stderr, fmt.Errorf("it is still %s", from))
	})
}

// Rename implements xen.Pauser.
//
//	xl rename DOMID NAME
func (d *Driver) Rename(ctx context.Context, id uuid.UUID, name string) error {
	return d.verbs.On(ctx, "rename", id.String(), id, func() error {
		if !xen.ValidName(name) {
			return verb.Refused("name", name, "is not a domain name")
		}
		unlock, err := d.verbs.Naming(ctx)
		if err != nil {
			return err
		}
		defer unlock()
		domains, err := d.list(ctx)
		if err != nil {
			return err
		}
		dom, ok := pick(domains, id)
		if !ok {
			return fs.ErrNotExist
		}
		if dom.Name == name {
			return nil
		}
		for _, other := range domains {
			if other.Name == name {
				return fmt.Errorf("a domain is called %s: %w", name, fs.ErrExist)
			}
		}
		a := d.run(ctx, d.opts.Limits.Query, "xl", "rename", strconv.Itoa(dom.ID), name)
		return d.renamed(ctx, id, name, a)
	})
}

// renamed reads the new name back.
func (d *Driver) renamed(ctx context.Context, id uuid.UUID, name string, a answer) error {
	if a.err != nil {
		return a.failure()
	}
	dom, err := d.lookup(ctx, id)
	if err != nil {
		return err
	}
	if dom.Name != name {
		return explain(a.stderr, errors.New("its name is still "+strconv.Quote(dom.Name)))
	}
	d.verbs.Log.InfoContext(ctx, "domain renamed", "uuid", id, "name", name)
	return nil
}
