package xl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// SendTo implements xen.Migrator, by
//
//	flock -o RUN/UUID.lock xl migrate -s '' DOMID 'exec 5<&0; cat <&5 >RUN/UUID/out & exec cat <RUN/UUID/in'
//
// xl gives its last argument to a shell, with its own words on stdin and the
// target's on stdout: it is joined to two FIFOs of ours. xl is never killed: to
// cut the conversation the FIFOs are closed, as they are when this process dies,
// and xl resumes the domain unless it has given it away. The lock is held as long
// as xl lives, which Settle waits for.
//
// Suspended is xl save -p, and what xl migrate would do with the result.
//
// conn must be closed by the caller once SendTo has returned.
func (d *Driver) SendTo(ctx context.Context, id uuid.UUID, conn io.ReadWriter, opts *xen.SendOptions) error {
	return d.onLive(ctx, "send", id, func(dom xen.Domain) error {
		if dom.State == xen.Paused {
			return fmt.Errorf("domain is paused, so its guest can not suspend: %w", xen.ErrBusy)
		}
		if opts != nil && opts.Suspended {
			return d.sendSaved(ctx, dom, conn)
		}
		return d.sendLive(ctx, dom, conn)
	})
}

func (d *Driver) sendLive(ctx context.Context, dom xen.Domain, conn io.ReadWriter) error {
	lock, err := d.lockFile(dom.UUID)
	if err != nil {
		return err
	}
	p, err := d.openPipes(dom.UUID)
	if err != nil {
		return err
	}
	defer p.remove()
	stop := context.AfterFunc(ctx, p.close)
	defer stop()
	go func() {
		_, _ = io.Copy(conn, p.out)
		p.close() // conn takes no more
	}()
	go func() {
		_, _ = io.Copy(p.in, conn)
		p.close() // nobody is at the other end of conn
	}()
	a := d.stream(context.WithoutCancel(ctx), dom0.Cmd{
		Args: []string{"flock", "-o", lock, "xl", "migrate", "-s", "", strconv.Itoa(dom.ID), p.line()},
	})
	p.close()
	return d.sent(ctx, dom, a)
}

// sent looks at what xl left of a domain that was to go.
func (d *Driver) sent(ctx context.Context, dom xen.Domain, a answer) error {
	why := a.reason()
	if why != nil && ctx.Err() != nil {
		why = fmt.Errorf("%w: %w", context.Cause(ctx), why)
	}
	ctx, cancel := verb.After(ctx, d.opts.Limits.Destroy)
	defer cancel()
	var left xen.Domain
	err := d.verbs.Until(ctx, func() (bool, error) {
		domains, err := d.list(ctx)
		if err != nil {
			return false, err
		}
		var there bool
		left, there = byID(domains, dom.ID, dom.UUID)
		if !there {
			return true, fs.ErrNotExist
		}
		return why != nil && left.State != xen.Dying, nil // else it is still going
	})
	switch {
	case errors.Is(err, fs.ErrNotExist) && why == nil:
		d.opts.Log.InfoContext(ctx, "domain sent away", "uuid", dom.UUID, "domid", dom.ID)
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: it is gone: %w", xen.ErrUndefined, why)
	case err != nil:
		return fmt.Errorf("%w: %w", chainOr(why, errors.New("xl exits 0")), err)
	case strings.HasSuffix(left.Name, xen.AwaySuffix):
		return fmt.Errorf("%w: %w", xen.ErrUndefined, why)
	case left.State != xen.Running:
		return fmt.Errorf("%w; %w: domain is %s", why, xen.ErrDirty, left.State)
	}
	return why
}

func chainOr(err, other error) error {
	if err == nil {
		return other
	}
	return err
}

// lockFile is what is locked while a half of a migration is at work.
func (d *Driver) lockFile(id uuid.UUID) (string, error) {
	if err := os.MkdirAll(d.opts.RunDir, 0o700); err != nil {
		return "", err
	}
	return filepath.Join(d.opts.RunDir, id.String()+".lock"), nil
}

// Settle implements xen.Migrator.
//
//	flock -w 180 RUN/UUID.lock true
func (d *Driver) Settle(ctx context.Context, id uuid.UUID) error {
	return verb.Wrap("settle", id.String(), d.settle(ctx, id))
}

func (d *Driver) settle(ctx context.Context, id uuid.UUID) error {
	d.unblock(id)
	lock, err := d.lockFile(id)
	if err != nil {
		return err
	}
	if _, err := os.Stat(lock); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	limit := d.opts.Limits.Create
	seconds := strconv.Itoa(int(max(limit/time.Second, 1)))
	a := d.run(ctx, limit+d.opts.Limits.Query, "flock", "-w", seconds, lock, "true")
	var failed *dom0.Error
	if errors.As(a.err, &failed) && failed.ExitCode == 1 {
		return fmt.Errorf("half of a migration has been at work for %s: %w", limit, xen.ErrBusy)
	}
	return a.err
}

// Wake implements xen.Migrator.
func (d *Driver) Wake(ctx context.Context, id uuid.UUID, name string) error {
	left, err := d.lookup(ctx, id)
	if err == nil && left.State != xen.Paused && left.State != xen.Running {
		err = fmt.Errorf("domain is %s: %w", left.State, xen.ErrBusy)
	}
	if err != nil {
		return verb.Wrap("wake", id.String(), err)
	}
	if left.Name != name {
		if err := d.Rename(ctx, id, name); err != nil {
			return err
		}
	}
	return d.Unpause(ctx, id)
}
