package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Save implements xen.Saver. libvirt's own save writes to a file and destroys
// the domain before anybody has looked at it, so this is the sending half of a
// migration, to a socket on 127.0.0.1 that only libvirtd's user is let into:
//
//	virDomainMigrateBegin3Params, virDomainMigratePerform3Params, virDomainMigrateConfirm3Params
//
// The domain is destroyed, or goes on, by the last call, when w has taken the
// last byte. What w gets is libxl's stream without a head of libvirt's or xl's:
// Restore of this package reads it, package xl does not.
//
// libvirt can not stop what it has begun without losing the guest. When w fails
// or ctx ends, the rest is read and thrown away, the guest goes on, and only
// then Save returns. Should this process end meanwhile, the guest stays
// suspended, and libvirt holds it until libvirtd is restarted.
//
// Then xen.Paused is errors.ErrUnsupported: the guest would run for a moment
// before it is paused. Why a guest could not be suspended is not told by
// libvirt (ErrNoAnswer): see libxl's log.
func (d *Driver) Save(ctx context.Context, id uuid.UUID, w io.Writer, opts *xen.SaveOptions) error {
	then, err := verb.SaveThen(opts)
	if err == nil && then == xen.Paused {
		err = fmt.Errorf("libvirt can not leave it paused: %w", errors.ErrUnsupported)
	}
	if err != nil {
		return verb.Wrap("save", id.String(), err)
	}
	return d.onLive(ctx, "save", id, func(dom xen.Domain) error {
		if dom.State != xen.Running {
			return fmt.Errorf("domain is %s, so its guest can not suspend: %w", dom.State, xen.ErrBusy)
		}
		err := d.save(ctx, dom, w, then)
		if err == nil {
			d.verbs.Log.InfoContext(ctx, "domain saved", "uuid", id, "domid", dom.ID, "then", then)
		}
		return err
	})
}

func (d *Driver) save(ctx context.Context, dom xen.Domain, w io.Writer, then xen.State) error {
	in, err := listen()
	if err != nil {
		return err
	}
	defer in.Close()
	cookie, err := d.begin(ctx, dom)
	if err != nil {
		return err
	}
	out := newOutlet(ctx, w)
	sent := d.perform(ctx, dom, cookie, in, out)
	taken := out.close()
	after, cancel := verb.After(ctx, 2*d.opts.Limits.Destroy+d.opts.Limits.Query)
	defer cancel()
	switch {
	case sent != nil:
		err = errors.Join(taken, sent)
		if left := d.wake(after, dom); left != nil {
			err = fmt.Errorf("%w; %w: %w", err, xen.ErrDirty, left)
		}
		return err
	case taken != nil:
		if left := d.goOn(after, dom, cookie); left != nil {
			return fmt.Errorf("%w; %w: %w", taken, xen.ErrDirty, left)
		}
		return taken
	case then == xen.Running:
		err = d.goOn(after, dom, cookie)
	default:
		err = d.leaves(after, dom, cookie)
	}
	if err != nil {
		return fmt.Errorf("%w: it is saved: %w", xen.ErrDirty, err)
	}
	return nil
}

// begin has libvirt hold the domain until the confirm.
func (d *Driver) begin(ctx context.Context, dom xen.Domain) (cookie []byte, err error) {
	err = d.ask(ctx, func(l *rpc.Libvirt) (err error) {
		cookie, _, err = l.DomainMigrateBegin3Params(handle(dom), nil, 0)
		return err
	})
	if unclear(err) {
		err = fmt.Errorf("%w: libvirt may hold it until libvirtd is restarted: %w", xen.ErrDirty, err)
	}
	return cookie, err
}

// perform has libvirt suspend the guest and send it. It goes on for as long as
// bytes move, whatever becomes of ctx.
func (d *Driver) perform(ctx context.Context, dom xen.Domain, cookie []byte, in *inlet, out *outlet) error {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	received := make(chan error, 1)
	go func() {
		err := in.receive(out, d.opts.Limits.Stall)
		received <- err
		if err != nil {
			stop()
			return
		}
		limit, cancel := context.WithTimeout(ctx, d.opts.Limits.Query)
		defer cancel()
		<-limit.Done() // the call has ended, or should have by now
		stop()
	}()
	err := d.callUntil(ctx, func(l *rpc.Libvirt) error {
		uri := rpc.TypedParam{Field: rpc.MigrateParamURI, Value: *rpc.NewTypedParamValueString(in.uri())}
		_, err := l.DomainMigratePerform3Params(handle(dom), nil, []rpc.TypedParam{uri}, cookie, 0)
		return err
	})
	if err == nil {
		return <-received // what it has written may not all be read yet
	}
	in.Close() // if libvirt has not connected, nobody does any more
	switch stalled := <-received; {
	case errors.Is(err, context.Canceled):
		err = hangs()
	case errors.Is(stalled, os.ErrDeadlineExceeded): // and failed when it was left
		err = fmt.Errorf("%w: %w", hangs(), err)
	}
	return err
}

// hangs is the error when the daemon was left because it had moved nothing for
// too long.
func hangs() error {
	return fmt.Errorf("libvirtd did not answer in time, in the middle of a stream: %w", context.DeadlineExceeded)
}

func (d *Driver) confirm(ctx context.Context, dom xen.Domain, cookie []byte, cancelled int32) error {
	return d.call(ctx, d.opts.Limits.Destroy, func(l *rpc.Libvirt) error {
		return l.DomainMigrateConfirm3Params(handle(dom), nil, cookie, 0, cancelled)
	})
}

// leaves ends a domain that is saved.
func (d *Driver) leaves(ctx context.Context, dom xen.Domain, cookie []byte) error {
	if err := d.confirm(ctx, dom, cookie, 0); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, d.opts.Limits.Destroy)
	defer cancel()
	err := d.verbs.Until(limit, func() (bool, error) {
		_, err := d.lookup(limit, dom.UUID)
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		return false, err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = errStays
	}
	return err
}

// goOn resumes a domain that was sent, and looks whether it runs.
func (d *Driver) goOn(ctx context.Context, dom xen.Domain, cookie []byte) error {
	if err := d.confirm(ctx, dom, cookie, 1); err != nil {
		return err
	}
	now, err := d.xl.Lookup(ctx, dom.UUID)
	if err == nil && now.State != xen.Running {
		err = fmt.Errorf("it is %s", now.State)
	}
	return err
}

// wake resumes a domain after a send that failed, if it is suspended: libvirt
// itself forgets to (up to 9.0 at least), and calls it running all the same. To
// begin once more and take it back does what is missing.
func (d *Driver) wake(ctx context.Context, dom xen.Domain) error {
	now, err := d.xl.Lookup(ctx, dom.UUID)
	switch {
	case err != nil || now.State == xen.Running:
		return err
	case now.State != xen.Suspended:
		return fmt.Errorf("it is %s", now.State)
	}
	cookie, err := d.begin(ctx, dom)
	if err != nil {
		return err
	}
	return d.goOn(ctx, dom, cookie)
}
