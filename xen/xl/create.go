package xl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
	"github.com/xenhost/xenhost/xen/xlcfg"
)

// Create implements xen.Lifecycle. Disks must lie below /dev.
//
//	xl create -q [-p] FILE
//
// When xl fails, or is killed because ctx or the limit ended, what it had
// built is found by its UUID and destroyed, for which ctx is not asked any
// more. If that fails too, the error also matches xen.ErrDirty.
func (d *Driver) Create(ctx context.Context, spec xen.Spec, opts *xen.CreateOptions) (created xen.Domain, err error) {
	text, err := xlcfg.Render(spec)
	if err != nil {
		return xen.Domain{}, verb.Wrap("create", spec.Name, err)
	}
	err = d.verbs.On(ctx, "create", spec.Name, spec.UUID, func() error {
		unlock, err := d.verbs.Naming(ctx)
		if err != nil {
			return err
		}
		defer unlock()
		if err := d.vacant(ctx, spec); err != nil {
			return err
		}
		created, err = d.create(ctx, spec, text, opts != nil && opts.Paused)
		return err
	})
	if err != nil {
		return xen.Domain{}, err
	}
	d.verbs.Log.InfoContext(ctx, "domain created", "name", created.Name, "uuid", created.UUID, "domid", created.ID)
	return created, nil
}

// vacant checks that neither name nor UUID runs. libxl itself has no objection
// to two domains of one UUID.
func (d *Driver) vacant(ctx context.Context, spec xen.Spec) error {
	domains, err := d.list(ctx)
	if err != nil {
		return err
	}
	for _, other := range domains {
		switch {
		case other.UUID == spec.UUID:
			return fmt.Errorf("its UUID runs already as %q: %w", other.Name, fs.ErrExist)
		case other.Name == spec.Name:
			return fmt.Errorf("a domain has this name: %w", fs.ErrExist)
		}
	}
	return nil
}

func (d *Driver) create(ctx context.Context, spec xen.Spec, text string, paused bool) (xen.Domain, error) {
	file, err := d.writeConfig(spec.UUID, text)
	if err != nil {
		return xen.Domain{}, err
	}
	defer os.Remove(file)
	argv := []string{"xl", "create", "-q"}
	if paused {
		argv = append(argv, "-p")
	}
	a := d.run(ctx, d.opts.Limits.Create, append(argv, file)...)
	if a.err != nil {
		return xen.Domain{}, d.failed(ctx, spec, a)
	}
	created, err := d.lookup(ctx, spec.UUID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return xen.Domain{}, errors.New("it ended right after its start")
	case err == nil && (created.State == xen.Paused) == paused:
		return created, nil
	case err == nil:
		err = fmt.Errorf("xl created it, and it is %s", created.State)
	}
	return xen.Domain{}, errors.Join(err, d.sweep(ctx, spec.UUID, ""))
}

// failed cleans up after xl and says what happened.
func (d *Driver) failed(ctx context.Context, spec xen.Spec, a answer) error {
	err := a.failure()
	if errors.Is(err, fs.ErrExist) {
		return err // who has our name, and maybe our UUID, is not ours
	}
	only := ""
	if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		only = a.stderr // xl ended by itself: it speaks of the domain that it made
	}
	left := d.sweep(ctx, spec.UUID, only)
	if e := (*said)(nil); errors.As(err, &e) && e.means == nil && left == nil && ctx.Err() == nil {
		if info, infoErr := d.info(ctx); infoErr == nil && info.FreeMemory < spec.Memory {
			e.means = xen.ErrNoMemory
		}
	}
	if left != nil {
		return fmt.Errorf("%w; %w: %w", err, xen.ErrDirty, left)
	}
	return err
}

// sweep destroys what is left of a create. If stderr is not empty, only a
// domain that it speaks of is ours.
func (d *Driver) sweep(ctx context.Context, id uuid.UUID, stderr string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.opts.Limits.Destroy)
	defer cancel()
	domains, err := d.list(ctx)
	if err != nil {
		return err
	}
	for _, left := range domains {
		if left.UUID == id && (stderr == "" || mentions(stderr, strconv.Itoa(left.ID))) {
			if err := d.end(ctx, left); err != nil {
				return err
			}
		}
	}
	return nil
}

// configName begins the names of a domain's configuration files; it stays in
// the argv of the domain's monitor.
func configName(id uuid.UUID) string { return "xl-" + id.String() + "-" }

// writeConfig makes the file that xl reads: a regular one, since xl refuses
// pipes, and for root only, since a configuration can hold secrets.
func (d *Driver) writeConfig(id uuid.UUID, text string) (path string, err error) {
	f, err := os.CreateTemp(d.opts.TempDir, configName(id)+"*.cfg")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// end destroys one domain and waits until its domid is off the list; zombies,
// whose name is (null), are on it.
func (d *Driver) end(ctx context.Context, victim xen.Domain) error {
	limit, cancel := context.WithTimeoutCause(ctx, d.opts.Limits.Destroy, errStays)
	defer cancel()
	a := d.run(limit, d.opts.Limits.Destroy, "xl", "destroy", strconv.Itoa(victim.ID))
	err := d.verbs.Until(limit, func() (bool, error) {
		domains, err := d.list(limit)
		if err != nil {
			return false, err
		}
		still, there := byID(domains, victim.ID, victim.UUID)
		if there && a.err != nil && still.State != xen.Dying && !errors.Is(a.failure(), fs.ErrNotExist) {
			return false, a.failure()
		}
		return !there, nil
	})
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(limit), errStays) {
		return fmt.Errorf("%w: domid %d: %w", xen.ErrDirty, victim.ID, errStays)
	}
	return err
}

var errStays = errors.New("destroyed, and still on the list")
