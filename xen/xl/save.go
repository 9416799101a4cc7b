package xl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/internal/verb"
	"github.com/xenhost/xenhost/xen/xlcfg"
)

// Save implements xen.Saver.
//
//	xl save -p DOMID /proc/self/fd/1
//
// (Not /dev/stdout: where that is missing xl makes a file of this name.)
// xl leaves the domain paused; it is destroyed, or continued, by us when w has
// taken the last byte, and not already when that is in a pipe. There is no file
// in between, which xl would make readable for all. xl is never killed: when
// ctx ends, or w fails, its stdout is closed, and it resumes the domain.
//
// Up to Xen 4.19 the process that restarts the domain after a reboot ends at
// every save, whether it succeeds or not.
func (d *Driver) Save(ctx context.Context, id uuid.UUID, w io.Writer, opts *xen.SaveOptions) error {
	then, err := verb.SaveThen(opts)
	if err != nil {
		return verb.Wrap("save", id.String(), err)
	}
	return d.onLive(ctx, "save", id, func(dom xen.Domain) error {
		if dom.State == xen.Paused {
			return fmt.Errorf("domain is paused, so its guest can not suspend: %w", xen.ErrBusy)
		}
		out := &counter{w: w}
		a := d.stream(ctx, dom0.Cmd{Args: []string{"xl", "save", "-p", strconv.Itoa(dom.ID), "/proc/self/fd/1"}, Stdout: out})
		if a.err == nil && out.n == 0 {
			a.err = errors.New("xl exits 0, and has written nothing")
		}
		ctx, cancel := verb.After(ctx, d.opts.Limits.Destroy)
		defer cancel()
		if a.err != nil {
			return d.unsaved(ctx, dom, a)
		}
		left, err := d.lookup(ctx, id)
		if err == nil && left.State != xen.Paused {
			err = explain(a.stderr, fmt.Errorf("xl exits 0, and the domain is %s", left.State))
		}
		switch {
		case err != nil:
			return err
		case then == "":
			err = d.destroy(ctx, left)
		case then == xen.Running:
			err = d.goOn(ctx, left)
		}
		if err == nil {
			d.verbs.Log.InfoContext(ctx, "domain saved", "uuid", id, "domid", dom.ID, "then", then)
		}
		return err
	})
}

// counter counts what goes to w.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// stream runs a command that must not be killed.
func (d *Driver) stream(ctx context.Context, cmd dom0.Cmd) answer {
	var stderr bytes.Buffer
	cmd.Stderr, cmd.NoKill = &stderr, true
	err := d.runner.Run(ctx, cmd)
	return answer{stderr: stderr.String(), err: err}
}

// reason is why a stream ended: the error of its other end, or of ctx, before
// what xl makes of that.
func (a answer) reason() error {
	if a.err == nil {
		return nil
	}
	if failed, ok := errors.AsType[*dom0.Error](a.err); ok && failed.Err != nil {
		return failed.Err
	}
	return a.failure()
}

// unsaved sees to it that the domain runs on after a save that failed.
func (d *Driver) unsaved(ctx context.Context, dom xen.Domain, a answer) error {
	left, err := d.lookup(ctx, dom.UUID)
	if err == nil && left.State == xen.Paused { // xl had written all, and w did not take it
		err = d.goOn(ctx, left)
	} else if err == nil && left.State != xen.Running {
		err = fmt.Errorf("domain is %s", left.State)
	}
	if err != nil {
		return fmt.Errorf("%w; %w: %w", a.reason(), xen.ErrDirty, err)
	}
	return a.reason()
}

// goOn unpauses a domain that this operation has paused.
func (d *Driver) goOn(ctx context.Context, dom xen.Domain) error {
	a := d.run(ctx, d.opts.Limits.Query, "xl", "unpause", strconv.Itoa(dom.ID))
	if a.err != nil {
		return a.failure()
	}
	now, err := d.lookup(ctx, dom.UUID)
	if err == nil && now.State != xen.Running {
		err = explain(a.stderr, fmt.Errorf("it is still %s", now.State))
	}
	return err
}

// Restore implements xen.Saver. Disks must lie below /dev.
//
//	xl restore [-p] FILE /proc/self/fd/0
//
// FILE is rendered from spec; the configuration inside r is not used. xl is
// never killed: when ctx ends, or r fails, its stdin is closed, and it removes
// what it had built. r should end where the image does: what follows may be
// read and is lost.
func (d *Driver) Restore(ctx context.Context, spec xen.Spec, r io.Reader, opts *xen.RestoreOptions) (back xen.Domain, err error) {
	paused := opts != nil && opts.Paused
	text, err := xlcfg.Render(spec)
	if err != nil {
		return back, verb.Wrap("restore", spec.Name, err)
	}
	err = d.verbs.On(ctx, "restore", spec.Name, spec.UUID, func() error {
		unlock, err := d.verbs.Naming(ctx)
		if err != nil {
			return err
		}
		defer unlock()
		if err := d.vacant(ctx, spec); err != nil {
			return err
		}
		file, err := d.writeConfig(spec.UUID, text)
		if err != nil {
			return err
		}
		defer os.Remove(file)
		argv := []string{"xl", "restore", file, "/proc/self/fd/0"}
		if paused {
			argv = []string{"xl", "restore", "-p", file, "/proc/self/fd/0"}
		}
		back, err = d.restored(ctx, spec, d.stream(ctx, dom0.Cmd{Args: argv, Stdin: r}), paused)
		return err
	})
	if err != nil {
		return xen.Domain{}, err
	}
	d.verbs.Log.InfoContext(ctx, "domain restored", "name", back.Name, "uuid", back.UUID, "domid", back.ID)
	return back, nil
}

// restored reads back what a restore did, and removes what a failed one left:
// of domains with this UUID those that xl spoke of, as another process may have
// started the same one.
func (d *Driver) restored(ctx context.Context, spec xen.Spec, a answer, paused bool) (xen.Domain, error) {
	err, only := a.reason(), a.stderr
	var back xen.Domain
	if err == nil {
		only = ""
		back, err = d.lookup(ctx, spec.UUID)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return back, errors.New("it ended right after it was restored")
		case err == nil && (back.State == xen.Paused) == paused:
			return back, nil
		case err == nil:
			err = fmt.Errorf("xl restored it, and it is %s", back.State)
		}
	}
	if left := d.sweep(ctx, spec.UUID, only); left != nil {
		return back, fmt.Errorf("%w; %w: %w", err, xen.ErrDirty, left)
	}
	return back, err
}
