package xentest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// What the two halves of xl migrate say to each other; the sender's stream lies
// between the first two.
const (
	sayBanner = "xl migration receiver ready, send binary domain data.\n"
	sayReady  = "domain received, ready to unpause"
	sayGo     = "domain is yours, you are cleared to unpause"
	sayReport = "my copy unpause results are as follows" // and one byte: 0 is well
)

// ErrUndefined is what SendTo returns when the connection broke in the final
// handshake: the domain is suspended as NAME--migratedaway, and only who looks
// at both hosts can tell which copy shall run.
var ErrUndefined = errors.New("failed during final handshake: the state of the domain is undefined")

// SendTo is the sending half of a live migration, as xl migrate does it, with
// xl's own words on conn. Until it has said that the domain is the receiver's,
// and when the receiver reports that it could not start it and gives it back,
// a failure ends with the guest running here: two of xl's ways to resume by
// itself. After that word it is ErrUndefined. Faults: "send" before anything,
// "suspend" when the guest is asked to. To end it early, close conn.
func (f *Fake) SendTo(ctx context.Context, id uuid.UUID, conn io.ReadWriter) error {
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
		if err := writePages(conn, d.guest.Spec()); err != nil {
			return fmt.Errorf("failed to suspend at sender: %w", err) // it was never suspended
		}
		if err := f.fault("suspend", false); err != nil {
			return fmt.Errorf("failed to suspend at sender: %w", err)
		}
		if d, err = f.suspend(id); err != nil {
			return fmt.Errorf("failed to suspend at sender: %w", err)
		}
		if err = writeState(conn, d.guest.Memory()); err == nil {
			err = readFixed(conn, sayReady)
		}
		if err != nil {
			return f.resume(d, xen.Running, fmt.Errorf("resuming at sender: %w", err))
		}
		return f.handOver(d, conn)
	})
}

// handOver gives the domain away.
func (f *Fake) handOver(d *domain, conn io.ReadWriter) error {
	name := d.guest.Spec().Name
	f.rename(d, name+"--migratedaway")
	undefined := func(err error) error { return fmt.Errorf("%w: %w", ErrUndefined, err) }
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

// ReceiveFrom is the receiving half, as xl migrate-receive does it: the domain
// is built and filled as NAME--incoming, gets its name when the sender has said
// that it is ours, and is unpaused, unless opts says otherwise, and reported.
// Before that word every failure leaves nothing here. Faults: "receive" before
// anything, "start" when it should be unpaused, which gives it back.
func (f *Fake) ReceiveFrom(ctx context.Context, conn io.ReadWriter, opts *xen.RestoreOptions) (here xen.Domain, err error) {
	err = f.do(ctx, "receive", "", func() error {
		if _, err := io.WriteString(conn, sayBanner); err != nil {
			return err
		}
		spec, err := readPages(conn)
		if err != nil {
			return err
		}
		name := spec.Name
		spec.Name += "--incoming"
		d, err := f.incoming(spec)
		if err != nil {
			return err
		}
		memory, err := readState(conn)
		if err == nil {
			_, err = io.WriteString(conn, sayReady)
		}
		if err == nil {
			err = readFixed(conn, sayGo)
		}
		if err != nil {
			f.kill(d)
			return err
		}
		if err = f.fault("start", false); err == nil {
			here, err = f.wake(d, name, memory, opts != nil && opts.Paused)
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

// incoming builds the receiver's copy, whose name no Spec can have.
func (f *Fake) incoming(spec xen.Spec) (*domain, error) {
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
	d.setState(xen.Paused)
	return d, nil
}
