package xentest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// Config implements xen.Configurer.
func (f *Fake) Config(ctx context.Context, id uuid.UUID) (spec xen.Spec, err error) {
	err = f.doOn(ctx, "config", id.String(), id, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		d := f.find(id)
		if d == nil {
			return fs.ErrNotExist
		}
		spec = d.spec.WithDefaults()
		return nil
	})
	return spec, err
}

// UpdateConfig implements xen.Configurer.
func (f *Fake) UpdateConfig(ctx context.Context, spec xen.Spec) error {
	spec = spec.Clone()
	return f.onLive(ctx, "update config", spec.UUID, func(d *domain) error {
		if err := spec.Validate(); err != nil {
			return err
		}
		if spec.Name != d.spec.Name {
			return &xen.FieldError{Field: "name", Value: spec.Name, Why: "is not its name; use Rename"}
		}
		d.next = &spec
		return nil
	})
}

// Reboot implements xen.Rebooter.
func (f *Fake) Reboot(ctx context.Context, id uuid.UUID, _ *xen.RebootOptions) (again xen.Domain, err error) {
	err = f.doOn(ctx, "reboot", id.String(), id, func() error {
		f.mu.Lock()
		d := f.find(id)
		err := ready(d)
		switch {
		case err != nil:
		case d.after(xen.Reboot) != "restart":
			err = &xen.FieldError{Field: "on_reboot", Value: d.spec.OnReboot, Why: "is not restart: the domain would not come back"}
		case d.state == xen.Paused:
			err = fmt.Errorf("domain is %s: %w", d.state, xen.ErrBusy)
		case f.deaf[id]:
			err = xen.ErrNoAnswer
		}
		f.mu.Unlock()
		if err != nil {
			return err
		}
		if err := f.event(id, xen.Reboot); err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if d = f.find(id); d == nil || d.state == xen.Dying {
			return fmt.Errorf("it went down for a reboot, and is gone: %w", fs.ErrNotExist)
		}
		if d.state != xen.Running {
			return fmt.Errorf("it is %s, and nothing starts it again: %w", d.state, xen.ErrBusy)
		}
		again = d.view()
		return nil
	})
	return again, err
}

// Screen implements xen.Screener. Who connects is greeted as by a VNC server,
// and no more.
func (f *Fake) Screen(ctx context.Context, id uuid.UUID) (at netip.AddrPort, err error) {
	err = f.onLive(ctx, "screen", id, func(d *domain) error {
		if d.spec.Type != xen.HVM || !d.spec.VNC {
			return fmt.Errorf("it has no screen: %w", errors.ErrUnsupported)
		}
		if d.screen == nil {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			d.screen = l
			go greet(l)
		}
		at, err = netip.ParseAddrPort(d.screen.Addr().String())
		return err
	})
	return at, err
}

// greet ends when the domain does.
func greet(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte("RFB 003.008\n"))
		conn.Close()
	}
}
