package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// inlet is where libvirtd sends a domain to.
type inlet struct{ net.Listener }

func listen() (*inlet, error) {
	l, err := net.Listen("tcp4", loopback+":0")
	if err != nil {
		return nil, err
	}
	return &inlet{l}, nil
}

func (in *inlet) uri() string { return "tcp://" + in.Addr().String() }

// receive copies what libvirtd sends to out, to its end; each byte must come
// within stall. Anybody in dom0 could knock here, so others are sent away.
func (in *inlet) receive(out io.Writer, stall time.Duration) error {
	if err := in.Listener.(*net.TCPListener).SetDeadline(time.Now().Add(stall)); err != nil {
		return err
	}
	for {
		conn, err := in.Accept()
		if err != nil {
			return fmt.Errorf("libvirtd did not connect: %w", err)
		}
		if isDaemon(conn) {
			_, err = io.Copy(out, &moving{conn: conn, stall: stall})
			return errors.Join(err, conn.Close())
		}
		_ = conn.Close()
	}
}

// isDaemon reports whether root, or our own user, is at the other end.
func isDaemon(conn net.Conn) bool {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return false
	}
	here, errHere := netip.ParseAddrPort(conn.LocalAddr().String())
	there, errThere := netip.ParseAddrPort(conn.RemoteAddr().String())
	if errHere != nil || errThere != nil {
		return false
	}
	uid, ok := socketUser(string(table), there, here)
	return ok && (uid == 0 || uid == os.Getuid())
}

// socketUser finds in /proc/net/tcp the user of the socket that is connected
// from one address to another inside this host.
func socketUser(table string, from, to netip.AddrPort) (uid int, ok bool) {
	const established = "01" // others show user 0 whoever had them
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 8 || f[1] != procAddr(from) || f[2] != procAddr(to) || f[3] != established {
			continue
		}
		uid, err := strconv.ParseUint(f[7], 10, 31)
		return int(uid), err == nil
	}
	return 0, false
}

// procAddr writes an IPv4 address as the kernel does on a little-endian machine.
func procAddr(a netip.AddrPort) string {
	b := a.Addr().As4()
	return fmt.Sprintf("%02X%02X%02X%02X:%04X", b[3], b[2], b[1], b[0], a.Port())
}

// moving ends a read in which nothing comes for too long.
type moving struct {
	conn  net.Conn
	stall time.Duration
}

func (m *moving) Read(p []byte) (int, error) {
	if err := m.conn.SetReadDeadline(time.Now().Add(m.stall)); err != nil {
		return 0, err
	}
	return m.conn.Read(p)
}

// outlet hands bytes to a writer until it fails or ctx ends, and then drops
// them: it never fails itself, and never waits longer than ctx for the writer.
type outlet struct {
	pipe *io.PipeWriter
	stop func() bool
	done chan struct{}

	mu  sync.Mutex
	err error // the first
}

func newOutlet(ctx context.Context, w io.Writer) *outlet {
	r, pipe := io.Pipe()
	o := &outlet{pipe: pipe, done: make(chan struct{})}
	finish := sync.OnceFunc(func() { close(o.done) })
	o.stop = context.AfterFunc(ctx, func() {
		o.fail(ctx.Err())
		_ = r.CloseWithError(ctx.Err())
		finish()
	})
	go func() {
		if _, err := io.Copy(w, r); err != nil {
			o.fail(err)
			_ = r.CloseWithError(err)
		}
		finish()
	}()
	return o
}

func (o *outlet) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}

func (o *outlet) Write(p []byte) (int, error) {
	_, _ = o.pipe.Write(p) // what went wrong is in err
	return len(p), nil
}

// close returns nil when the writer has taken all.
func (o *outlet) close() error {
	_ = o.pipe.Close()
	<-o.done
	o.stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
