package main

import (
	"context"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// connect returns a connection to whoever serves the target, and its path
// there.
func (o *options) connect(ctx context.Context, from, to string) (io.ReadWriteCloser, string, error) {
	host, path, err := parseTarget(to)
	if err != nil {
		return nil, "", err
	}
	if host != "" {
		argv := migrate.SSH(host, &migrate.SSHOptions{Agent: append(strings.Fields(o.remote), "serve"), Options: o.ssh})
		conn, err := migrate.Command(ctx, o.runner, argv)
		return conn, path, err
	}
	if same(from, path) {
		return nil, "", cli.UsageError{Err: errSame}
	}
	here, there := net.Pipe()
	c := &local{Conn: here, served: make(chan struct{})}
	go func() {
		defer close(c.served)
		_ = blockcopy.Serve(ctx, there, blockcopy.Paths{State: o.state}.Open) // Push is told why it fails
		there.Close()
	}()
	return c, path, nil
}

// local is a connection to a target in this process.
type local struct {
	net.Conn
	served chan struct{}
}

// Close waits until the target is closed too.
func (l *local) Close() error {
	err := l.Conn.Close()
	<-l.served
	return err
}

// same tells whether two paths lead to one file or one device.
func same(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	if errA != nil || errB != nil {
		return false
	}
	s, okA := x.Sys().(*syscall.Stat_t)
	t, okB := y.Sys().(*syscall.Stat_t)
	return os.SameFile(x, y) || okA && okB && x.Mode()&os.ModeDevice != 0 && s.Mode&syscall.S_IFMT == t.Mode&syscall.S_IFMT && s.Rdev == t.Rdev
}

// serve answers the blocksync at the other end of stdin and stdout. A signal
// ends it at once: what has arrived is kept as after a crash.
func (o *options) serve(ctx context.Context) error {
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	conn := struct {
		io.Reader
		io.Writer
	}{os.Stdin, os.Stdout}
	return blockcopy.Serve(ctx, conn, blockcopy.Paths{State: o.state}.Open)
}
