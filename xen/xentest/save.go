package xentest

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// Save implements xen.Saver. What is written is about 256 KiB of a format of
// its own, with what the guest's Program remembers (Guest.Remember). A deaf
// guest does not suspend. As with Xen before 4.20 a domain that was suspended
// and goes on has lost its monitor (see LoseMonitor), after SendTo too.
func (f *Fake) Save(ctx context.Context, id uuid.UUID, w io.Writer, opts *xen.SaveOptions) error {
	var then xen.State
	if opts != nil {
		then = opts.Then
	}
	return f.doOn(ctx, "save", id.String(), id, func() error {
		if then != "" && then != xen.Running && then != xen.Paused {
			return &xen.FieldError{Field: "then", Value: string(then), Why: "must be running, paused or empty"}
		}
		d, err := f.suspend(id)
		if err != nil {
			return err
		}
		out := tied{ctx: ctx, w: w}
		if err = writePages(out, d); err == nil {
			err = writeState(out, d.guest.Memory())
		}
		if err != nil {
			return f.resume(d, xen.Running, err)
		}
		if then == "" {
			f.kill(d)
			return f.powered()
		}
		return f.resume(d, then, nil)
	})
}

// suspend stops a guest that runs, with its help.
func (f *Fake) suspend(id uuid.UUID) (*domain, error) {
	f.mu.Lock()
	d := f.find(id)
	err := ready(d)
	switch {
	case err != nil:
	case d.state == xen.Paused:
		err = fmt.Errorf("domain is paused, so its guest can not suspend: %w", xen.ErrBusy)
	case f.deaf[id]:
		err = fmt.Errorf("%w: to suspend", xen.ErrNoAnswer)
	default:
		d.setState(xen.Suspended)
		d.reason = xen.Suspend
	}
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	d.guest.pause()
	return d, nil
}

// resume ends a suspension and returns why, or ErrOff if the power went
// meanwhile.
func (f *Fake) resume(d *domain, to xen.State, why error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.domains[d.id] != d || d.state != xen.Suspended {
		return ErrOff
	}
	d.setState(to)
	d.reason = ""
	if f.alone == nil {
		f.alone = make(map[*domain]bool)
	}
	f.alone[d] = true
	if to == xen.Running {
		d.guest.resume()
	}
	return why
}

// Restore implements xen.Saver.
func (f *Fake) Restore(ctx context.Context, spec xen.Spec, r io.Reader, opts *xen.RestoreOptions) (back xen.Domain, err error) {
	spec = spec.Clone()
	err = f.doOn(ctx, "restore", spec.Name, spec.UUID, func() error {
		if err := spec.Validate(); err != nil {
			return err
		}
		d, err := f.build(spec)
		if err != nil {
			return err
		}
		in := tied{ctx: ctx, r: r}
		saved, err := readPages(in)
		if err == nil && !madeOf(saved.Spec).equal(madeOf(spec)) {
			err = fmt.Errorf("%w: it was saved from another machine: %+v, not %+v", xen.ErrInvalid, madeOf(saved.Spec), madeOf(spec))
		}
		var memory []byte
		if err == nil {
			memory, err = readState(in)
		}
		if err != nil {
			f.kill(d)
			return err
		}
		f.mu.Lock()
		d.cpu = saved.CPU
		f.mu.Unlock()
		back, err = f.wake(d, spec.Name, memory, opts != nil && opts.Paused)
		return err
	})
	return back, err
}

// build makes a domain into which memory is to be read.
func (f *Fake) build(spec xen.Spec) (*domain, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off {
		return nil, ErrOff
	}
	if err := f.admit(spec); err != nil {
		f.lastID++
		return nil, err
	}
	d := f.add(spec)
	d.setState(xen.Building)
	return d, nil
}

// wake lets a domain go on that was saved or sent.
func (f *Fake) wake(d *domain, name string, memory []byte, paused bool) (xen.Domain, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.domains[d.id] != d || d.state == xen.Dying {
		return xen.Domain{}, ErrOff
	}
	for _, other := range f.domains {
		if other != d && other.spec.Name == name && !other.zombie {
			return xen.Domain{}, fmt.Errorf("a domain is called %s: %w", name, fs.ErrExist)
		}
	}
	d.change(func(s *xen.Spec) { s.Name = name })
	d.guest.Remember(memory)
	if paused {
		d.setState(xen.Paused)
	} else {
		f.start(d)
	}
	return d.view(), nil
}
