package xentest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/cpuid"
)

// What the two halves of xl migrate say to each other; the sender's stream lies
// between the first two.
const (
	sayBanner = "xl migration receiver ready, send binary domain data.\n"
	sayReady  = "domain received, ready to unpause\x00"
	sayGo     = "domain is yours, you are cleared to unpause\x00"
	sayReport = "my copy unpause results are as follows\x00" // and one byte: 0 is well
)

// SendTo implements xen.Migrator, as xl migrate does it, with xl's own words on
// conn. Until it has said that the domain is the receiver's, and when the
// receiver reports that it could not start it and gives it back, a failure ends
// with the guest running here: two of xl's ways to resume by itself. After that
// word it is xen.ErrUndefined. PV guests are refused unless they are sent
// suspended, as by a Xen without shadow paging. Faults: "send" before anything, "suspend" when the
// guest is asked to, "xl" when it is suspended: xl itself dies, and the domain
// stays as it is.
func (f *Fake) SendTo(ctx context.Context, id uuid.UUID, conn io.ReadWriter, opts *xen.SendOptions) error {
	conn = rope{tied{ctx: ctx, r: conn, w: conn}}
	suspended := opts != nil && opts.Suspended
	return f.doOn(ctx, "send", id.String(), id, func() error {
		if err := readFixed(conn, sayBanner); err != nil {
			return fmt.Errorf("no receiver: %w", err)
		}
		f.mu.Lock()
		d := f.find(id)
		err := ready(d)
		f.mu.Unlock()
		if err != nil {
			return err
		}
		spec := d.guest.Spec()
		if spec.Type == xen.PV && !suspended {
			return fmt.Errorf("%w: failed to enable logdirty", errors.ErrUnsupported)
		}
		if !suspended {
			if err := writePages(conn, d); err != nil {
				return fmt.Errorf("failed to suspend at sender: %w", err) // it was never suspended
			}
		}
		if err := f.fault("suspend", false); err != nil {
			return fmt.Errorf("failed to suspend at sender: %w", err)
		}
		if d, err = f.suspend(id); err != nil {
			return fmt.Errorf("failed to suspend at sender: %w", err)
		}
		if err := f.fault("xl", false); err != nil {
			return fmt.Errorf("%w: %w", xen.ErrDirty, err)
		}
		if suspended {
			err = writePages(conn, d)
		}
		if err == nil {
			err = writeState(conn, d.guest.Memory())
		}
		if err == nil {
			err = readFixed(conn, sayReady)
		}
		if err != nil {
			return f.resume(d, xen.Running, fmt.Errorf("resuming at sender: %w", err))
		}
		if suspended {
			f.mu.Lock()
			d.setState(xen.Paused) // as xl save -p leaves it
			d.reason = ""
			f.mu.Unlock()
		}
		return f.handOver(d, conn)
	})
}

// handOver gives the domain away.
func (f *Fake) handOver(d *domain, conn io.ReadWriter) error {
	name := d.guest.Spec().Name
	f.rename(d, name+xen.AwaySuffix)
	undefined := func(err error) error { return fmt.Errorf("%w: %w", xen.ErrUndefined, err) }
	if _, err := io.WriteString(conn, sayGo); err != nil {
		return undefined(err)
	}
	if err := readFixed(conn, sayReport); err != nil {
		return undefined(err)
	}
	var well [1]byte
	if _, err := io.ReadFull(conn, well[:]); err != nil {
		return undefined(whole(err))
	}
	if well[0] == 0 {
		f.kill(d)
		return f.powered()
	}
	if err := readFixed(conn, sayGo); err != nil {
		return undefined(err)
	}
	f.rename(d, name)
	return f.resume(d, xen.Running, errors.New("failed due to problems at target, resumed at sender"))
}

func (f *Fake) rename(d *domain, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d.change(func(s *xen.Spec) { s.Name = name })
}

// ReceiveFrom implements xen.Migrator, as xl migrate-receive does it: the domain
// is built and filled as NAME--incoming, gets its name when the sender has said
// that it is ours, and is unpaused and reported. When conn ends before that word
// nothing is left here; when ctx ends, the copy stays, paused, since xl can not
// tell its end to anybody. Faults: "receive" before anything, "start" when it
// should be unpaused, which gives it back.
func (f *Fake) ReceiveFrom(ctx context.Context, spec xen.Spec, conn io.ReadWriter) (here xen.Domain, err error) {
	spec = spec.Clone()
	conn = rope{tied{ctx: ctx, r: conn, w: conn}}
	unlock, err := f.comes.Lock(ctx, spec.UUID)
	if err != nil {
		return here, &xen.Error{Op: "receive", Name: spec.Name, Err: err}
	}
	defer unlock()
	err = f.do(ctx, "receive", spec.Name, func() error {
		if err := spec.Validate(); err != nil {
			return err
		}
		if _, err := io.WriteString(conn, sayBanner); err != nil {
			return err
		}
		sent, err := readPages(conn)
		if err == nil && !madeOf(sent.Spec).equal(madeOf(spec)) {
			err = fmt.Errorf("%w: it was sent from another machine: %+v, not %+v", xen.ErrInvalid, madeOf(sent.Spec), madeOf(spec))
		}
		if err != nil {
			return err
		}
		name := spec.Name
		spec.Name += xen.IncomingSuffix
		d, err := f.incoming(spec, sent.CPU)
		if err != nil {
			return err
		}
		memory, err := readState(conn)
		if err != nil {
			f.kill(d)
			return err
		}
		d.guest.Remember(memory)
		if _, err = io.WriteString(conn, sayReady); err == nil {
			err = readFixed(conn, sayGo)
		}
		if err != nil {
			if ctx.Err() == nil {
				f.kill(d)
			}
			return err
		}
		if err = f.fault("start", false); err == nil {
			here, err = f.wake(d, name, memory, false)
		}
		if err != nil {
			f.kill(d)
			_, gone := io.WriteString(conn, sayReport+"\x01"+sayGo)
			return errors.Join(err, gone)
		}
		_, err = io.WriteString(conn, sayReport+"\x00")
		return err
	})
	return here, err
}

// Settle implements xen.Migrator.
func (f *Fake) Settle(ctx context.Context, id uuid.UUID) error {
	unlock, err := f.comes.Lock(ctx, id)
	if err != nil {
		return &xen.Error{Op: "settle", Name: id.String(), Err: err}
	}
	defer unlock()
	return f.doOn(ctx, "settle", id.String(), id, func() error { return nil })
}

// Wake implements xen.Migrator. Faults are those of rename and unpause.
func (f *Fake) Wake(ctx context.Context, id uuid.UUID, name string) error {
	d, err := f.Lookup(ctx, id)
	if err != nil {
		return err
	}
	if d.State != xen.Paused && d.State != xen.Running {
		return &xen.Error{Op: "wake", Name: id.String(), Err: fmt.Errorf("domain is %s: %w", d.State, xen.ErrBusy)}
	}
	if d.Name != name {
		if err := f.Rename(ctx, id, name); err != nil {
			return err
		}
	}
	return f.Unpause(ctx, id)
}

// rope is both ways of a connection that ends with ctx.
type rope struct{ tied }

// incoming builds the receiver's copy, whose name no Spec can have.
func (f *Fake) incoming(spec xen.Spec, cpu cpuid.Policy) (*domain, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off {
		return nil, ErrOff
	}
	if spec.Need() > f.free() {
		return nil, fmt.Errorf("%w (%d MiB)", xen.ErrNoMemory, f.free()>>20)
	}
	for _, d := range f.domains {
		if d.spec.Name == spec.Name {
			return nil, fmt.Errorf("a domain is called %s: %w", spec.Name, fs.ErrExist)
		}
	}
	if err := f.fits(spec); err != nil {
		return nil, err
	}
	d := f.add(spec)
	d.cpu = cpu
	d.setState(xen.Paused)
	return d, nil
}
