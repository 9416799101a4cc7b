package xl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/xen"
)

// terminal is what xenconsoled and QEMU open for a domain.
var terminal = regexp.MustCompile(`^/dev/pts/[0-9]+$`)

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
		if !terminal.MatchString(path) {
			return fmt.Errorf("xenstore says that its console is %q", path)
		}
		c, err = openConsole(path)
		return err
	})
	return c, err
}

// appears reads a node of a domain, which can come a moment after its start.
func (d *Driver) appears(ctx context.Context, dom xen.Domain, node string) (value string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var last answer
	err = d.poll(ctx, func() (bool, error) {
		last = d.run(ctx, d.opts.Limits.Query, "xenstore-read", "/local/domain/"+strconv.Itoa(dom.ID)+"/"+node)
		value = strings.TrimSuffix(last.stdout, "\n")
		return last.err == nil && value != "", nil
	})
	if err != nil && last.err != nil {
		err = fmt.Errorf("%w: %w", err, last.err)
	}
	return value, err
}

// pty is the slave side of a console. The file is not embedded: its WriteTo
// would go around Read.
type pty struct{ f *os.File }

func openConsole(path string) (io.ReadWriteCloser, error) {
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	if err := raw(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return pty{f}, nil
}

// raw takes the line discipline out of the way, as cfmakeraw(3) does.
func raw(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if err != nil {
			failed = err
			return
		}
		t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		t.Oflag &^= unix.OPOST
		t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
		failed = unix.IoctlSetTermios(int(fd), unix.TCSETS, t)
	})
	return errors.Join(err, failed)
}

// Read ends with io.EOF when the other side is closed.
func (p pty) Read(b []byte) (int, error) {
	n, err := p.f.Read(b)
	if errors.Is(err, syscall.EIO) {
		err = io.EOF
	}
	return n, err
}

func (p pty) Write(b []byte) (int, error) { return p.f.Write(b) }

func (p pty) Close() error { return p.f.Close() }

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
