package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/pty"
)

// settles is how long a console or a screen can take to come after the start.
const settles = 10 * time.Second

// Console implements xen.Consoler: it opens the terminal that libvirt names, in
// this dom0.
//
//	virDomainGetXMLDesc
//
// (virDomainOpenConsole would hand out the same terminal through the daemon, one
// connection for each.)
func (d *Driver) Console(ctx context.Context, id uuid.UUID) (c io.ReadWriteCloser, err error) {
	err = d.onLive(ctx, "console", id, func(dom xen.Domain) error {
		path, err := d.appears(ctx, dom, terminal)
		if err != nil {
			return err
		}
		if c, err = pty.Open(path); err != nil {
			err = fmt.Errorf("where libvirt says that its console is: %w", err)
		}
		return err
	})
	return c, err
}

// Screen implements xen.Screener.
//
//	virDomainGetXMLDesc
func (d *Driver) Screen(ctx context.Context, id uuid.UUID) (at netip.AddrPort, err error) {
	err = d.onLive(ctx, "screen", id, func(dom xen.Domain) error {
		text, err := d.appears(ctx, dom, screen)
		if err == nil {
			at, err = netip.ParseAddrPort(text)
		}
		return err
	})
	return at, err
}

// appears reads what is in a domain's XML, or will be in a moment.
func (d *Driver) appears(ctx context.Context, dom xen.Domain, read func(libvirtxml.Domain) (string, error)) (value string, err error) {
	limit, cancel := context.WithTimeout(ctx, settles)
	defer cancel()
	err = d.verbs.Until(limit, func() (bool, error) {
		text, err := d.xml(limit, dom)
		if err != nil {
			return false, err
		}
		var seen libvirtxml.Domain
		if err := seen.Unmarshal(text); err != nil {
			return false, fmt.Errorf("domain XML: %w", err)
		}
		value, err = read(seen)
		return value != "", err
	})
	return value, err
}

// terminal returns the path of the first console; "": it is not there yet. A
// serial console is at the serial port.
func terminal(dom libvirtxml.Domain) (string, error) {
	path := func(s *libvirtxml.DomainChardevSource) (string, bool) {
		if s == nil || s.Pty == nil {
			return "", false
		}
		return s.Pty.Path, true
	}
	if dom.Devices != nil {
		for _, s := range dom.Devices.Serials {
			if at, ok := path(s.Source); ok {
				return at, nil
			}
		}
		for _, c := range dom.Devices.Consoles {
			if at, ok := path(c.Source); ok {
				return at, nil
			}
		}
	}
	return "", fmt.Errorf("libvirt shows no console of it: %w", errors.ErrUnsupported)
}

// screen returns address and port of the screen; "": the port is not chosen yet.
func screen(dom libvirtxml.Domain) (string, error) {
	if dom.Devices != nil {
		for _, g := range dom.Devices.Graphics {
			switch {
			case g.VNC == nil:
			case g.VNC.Port <= 0:
				return "", nil
			default:
				return fmt.Sprintf("%s:%d", listens(*g.VNC), g.VNC.Port), nil
			}
		}
	}
	return "", fmt.Errorf("it has no screen: %w", errors.ErrUnsupported)
}

func listens(vnc libvirtxml.DomainGraphicVNC) string {
	for _, l := range vnc.Listeners {
		if l.Address != nil && l.Address.Address != "" {
			return l.Address.Address
		}
	}
	if vnc.Listen != "" {
		return vnc.Listen
	}
	return loopback
}
