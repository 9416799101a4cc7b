package xl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/pty"
)

// Console implements xen.Consoler: it opens the pty that xl console attaches
// to, in this dom0, and makes it raw.
//
//	xenstore-read /local/domain/DOMID/console/tty
func (d *Driver) Console(ctx context.Context, id uuid.UUID) (c io.ReadWriteCloser, err error) {
	err = d.onLive(ctx, "console", id, func(dom xen.Domain) error {
		now, err := d.config(ctx, dom)
		if err != nil {
			return err
		}
		node := "console/tty"
		if now.Type == xen.HVM {
			node = "serial/0/tty"
		}
		path, err := d.appears(ctx, dom, node)
		if err != nil {
			return err
		}
		if c, err = pty.Open(path); err != nil {
			err = fmt.Errorf("where xenstore says that its console is: %w", err)
		}
		return err
	})
	return c, err
}

// appears reads a node of a domain, which can come a moment after its start.
func (d *Driver) appears(ctx context.Context, dom xen.Domain, node string) (value string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var last answer
	err = d.verbs.Until(ctx, func() (bool, error) {
		last = d.run(ctx, d.opts.Limits.Query, "xenstore-read", "/local/domain/"+strconv.Itoa(dom.ID)+"/"+node)
		value = strings.TrimSuffix(last.stdout, "\n")
		return last.err == nil && value != "", nil
	})
	if err != nil && last.err != nil {
		err = fmt.Errorf("%w: %w", err, last.err)
	}
	return value, err
}

// Screen implements xen.Screener.
//
//	xenstore-read /local/domain/DOMID/console/vnc-port
func (d *Driver) Screen(ctx context.Context, id uuid.UUID) (at netip.AddrPort, err error) {
	err = d.onLive(ctx, "screen", id, func(dom xen.Domain) error {
		now, err := d.config(ctx, dom)
		if err != nil {
			return err
		}
		if now.Type != xen.HVM || !now.VNC {
			return fmt.Errorf("it has no screen: %w", errors.ErrUnsupported)
		}
		host, err := d.appears(ctx, dom, "console/vnc-listen")
		if err != nil {
			return err
		}
		port, err := d.appears(ctx, dom, "console/vnc-port")
		if err == nil {
			at, err = netip.ParseAddrPort(host + ":" + port)
		}
		return err
	})
	return at, err
}
