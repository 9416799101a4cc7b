package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Pause implements xen.Pauser.
//
//	virDomainSuspend
func (d *Driver) Pause(ctx context.Context, id uuid.UUID) error {
	return d.turn(ctx, "pause", id, xen.Running, xen.Paused, (*rpc.Libvirt).DomainSuspend)
}

// Unpause implements xen.Pauser.
//
//	virDomainResume
func (d *Driver) Unpause(ctx context.Context, id uuid.UUID) error {
	return d.turn(ctx, "unpause", id, xen.Paused, xen.Running, (*rpc.Libvirt).DomainResume)
}

func (d *Driver) turn(ctx context.Context, verb string, id uuid.UUID, from, to xen.State, do func(*rpc.Libvirt, rpc.Domain) error) error {
	return d.verbs.On(ctx, verb, id.String(), id, func() error {
		dom, err := d.lookup(ctx, id)
		switch {
		case err != nil:
			return err
		case dom.State == to:
			return nil
		case dom.State != from:
			return fmt.Errorf("domain is %s: %w", dom.State, xen.ErrBusy)
		}
		said := d.call(ctx, d.opts.Limits.Query, func(l *rpc.Libvirt) error { return do(l, handle(dom)) })
		if said != nil {
			return said
		}
		if dom, err = d.lookup(ctx, id); err != nil {
			return err
		}
		if dom.State != to {
			return fmt.Errorf("libvirt did it, and the domain is %s", dom.State)
		}
		d.verbs.Log.InfoContext(ctx, "domain "+verb+"d", "uuid", id, "domid", dom.ID)
		return nil
	})
}

// Rename implements xen.Pauser. No libvirt up to 11.3 can rename a domain that
// runs, and its Xen driver none at all: errors.ErrUnsupported.
//
//	virDomainRename
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
		dom, err := d.lookup(ctx, id)
		switch {
		case err != nil:
			return err
		case dom.Name == name:
			return nil
		}
		if err := d.free(ctx, name); err != nil {
			return err
		}
		said := d.call(ctx, d.opts.Limits.Query, func(l *rpc.Libvirt) error {
			_, err := l.DomainRename(handle(dom), rpc.OptString{name}, 0)
			return err
		})
		if codeOf(said) == rpc.ErrOperationInvalid {
			return fmt.Errorf("%w: %w", errors.ErrUnsupported, said) // "cannot rename active domain"
		}
		if said != nil {
			return said
		}
		return d.renamed(ctx, id, name)
	})
}

// free checks that nobody has the name.
func (d *Driver) free(ctx context.Context, name string) error {
	all, err := d.known(ctx)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.Name == name {
			return fmt.Errorf("libvirt has a domain called %s: %w", name, fs.ErrExist)
		}
	}
	return nil
}

// renamed reads the new name back.
func (d *Driver) renamed(ctx context.Context, id uuid.UUID, name string) error {
	dom, err := d.lookup(ctx, id)
	if err == nil && dom.Name != name {
		err = errors.New("its name is still " + strconv.Quote(dom.Name))
	}
	if err == nil {
		d.verbs.Log.InfoContext(ctx, "domain renamed", "uuid", id, "name", name)
	}
	return err
}
