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

// Create implements xen.Lifecycle. The domain is transient.
//
//	virDomainCreateXML, with VIR_DOMAIN_START_PAUSED
//
// When the call is cut short by ctx, the limit or a lost connection, libvirt
// goes on with it. Create then waits until libvirt is through, for as long as
// Limits.Create and Limits.Destroy, and destroys the domain; ctx is not asked
// any more. If that fails too, because the daemon hangs, the error also
// matches xen.ErrDirty.
func (d *Driver) Create(ctx context.Context, spec xen.Spec, opts *xen.CreateOptions) (created xen.Domain, err error) {
	err = d.make(ctx, "create", spec, func(text string) error {
		created, err = d.create(ctx, spec, text, opts != nil && opts.Paused)
		return err
	})
	if err != nil {
		return xen.Domain{}, err
	}
	d.verbs.Log.InfoContext(ctx, "domain created", "name", created.Name, "uuid", created.UUID, "domid", created.ID)
	return created, nil
}

// make does work, which makes a domain from the XML of spec, while nobody else
// takes its name, its UUID or memory, and after it was looked whether they, and
// the disks, are there.
func (d *Driver) make(ctx context.Context, op string, spec xen.Spec, work func(text string) error) error {
	if err := errors.Join(spec.Validate(), refuse(spec)); err != nil {
		return verb.Wrap(op, spec.Name, err)
	}
	return d.verbs.On(ctx, op, spec.Name, spec.UUID, func() error {
		done, err := d.verbs.Naming(ctx)
		if err != nil {
			return err
		}
		defer done()
		p, err := d.platform(ctx)
		if err != nil {
			return err
		}
		text, err := render(spec, p)
		if err != nil {
			return err
		}
		if err := d.vacant(ctx, spec.UUID, spec.Name); err != nil {
			return err
		}
		if err := missing(spec.Disks); err != nil {
			return err
		}
		return work(text)
	})
}

// vacant checks that neither name nor UUID is taken, by a domain or by a
// definition that would take it when it is started.
func (d *Driver) vacant(ctx context.Context, id uuid.UUID, name string) error {
	all, err := d.known(ctx)
	if err != nil {
		return err
	}
	for _, other := range all {
		same := uuid.UUID(other.UUID) == id
		switch {
		case same && other.ID != notRunning:
			return fmt.Errorf("its UUID runs already as %q: %w", other.Name, fs.ErrExist)
		case same:
			return fmt.Errorf("libvirt has its UUID as %q, which does not run (virsh list --all): %w", other.Name, fs.ErrExist)
		case other.Name == name:
			return fmt.Errorf("libvirt has a domain of this name: %w", fs.ErrExist)
		}
	}
	return nil
}

func (d *Driver) known(ctx context.Context) (all []rpc.Domain, err error) {
	err = d.call(ctx, d.opts.Limits.Query, func(l *rpc.Libvirt) error {
		all, err = names(l)
		return err
	})
	return all, err
}

func (d *Driver) create(ctx context.Context, spec xen.Spec, text string, paused bool) (created xen.Domain, err error) {
	err = d.start(ctx, text, paused || sharesCPU(spec))
	if err != nil && !unclear(err) {
		return xen.Domain{}, d.diagnose(ctx, spec, paused || sharesCPU(spec), err)
	}
	if err == nil {
		if created, err = d.settle(ctx, spec, paused); err == nil {
			return created, nil
		}
	}
	if left := d.sweep(ctx, spec.UUID); left != nil {
		return xen.Domain{}, fmt.Errorf("%w; %w: %w", err, xen.ErrDirty, left)
	}
	return xen.Domain{}, err
}

// settle gives a domain that libvirt has started what its XML could not say,
// and reads back what it is.
func (d *Driver) settle(ctx context.Context, spec xen.Spec, paused bool) (xen.Domain, error) {
	if sharesCPU(spec) {
		spec := spec.WithDefaults()
		if err := d.setShare(ctx, spec.UUID, xen.Share{Weight: spec.Weight, Cap: spec.Cap}); err != nil {
			return xen.Domain{}, err
		}
		if !paused {
			err := d.call(ctx, d.opts.Limits.Query, func(l *rpc.Libvirt) error {
				return l.DomainResume(rpc.Domain{Name: spec.Name, UUID: rpc.UUID(spec.UUID)})
			})
			if err != nil {
				return xen.Domain{}, err
			}
		}
	}
	created, err := d.lookup(ctx, spec.UUID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = errors.New("it ended right after its start") // not fs.ErrNotExist, which is another failure
	case err == nil && (created.State == xen.Paused) != paused:
		err = fmt.Errorf("libvirt created it, and it is %s", created.State)
	}
	return created, err
}

func (d *Driver) start(ctx context.Context, text string, paused bool) error {
	return d.call(ctx, d.opts.Limits.Create, func(l *rpc.Libvirt) error {
		_, err := l.DomainCreateXML(text, startFlags(paused))
		return err
	})
}

func startFlags(paused bool) rpc.DomainCreateFlags {
	if paused {
		return rpc.DomainStartPaused
	}
	return rpc.DomainNone
}

// sweep destroys what a create that was cut short has made or still makes.
// libvirt lists a domain as soon as it has begun to build it; it is taken for
// never begun when it is missing in two looks.
func (d *Driver) sweep(ctx context.Context, id uuid.UUID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.opts.Limits.Create+d.opts.Limits.Destroy)
	defer cancel()
	missed := 0
	return d.verbs.Until(ctx, func() (bool, error) {
		left, err := d.lookup(ctx, id)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missed++
			return missed == 2, nil
		case err != nil:
			return false, err
		case left.ID == notRunning:
			return false, nil
		}
		return true, d.end(ctx, left)
	})
}
