package lvm

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/xenhost/xenhost/xen/dom0"
)

// Client is the Manager of a real host: it runs lvm(8). It keeps no state and
// may be used by many goroutines; LVM's own lock orders their changes.
type Client struct {
	runner  dom0.Runner
	options Options
}

var _ Manager = (*Client)(nil)

// Options sets how a Client reaches LVM; nil is the defaults.
type Options struct {
	// Flags are added to every command, as --devicesfile, guests.devices.
	Flags []string
	// Timeout bounds each command that only reads; 0 is 60 seconds. Commands
	// that change something are never killed: an lvcreate that dies half-way
	// can leave a guest's disk suspended. They may outlast their context.
	Timeout time.Duration
	// Log is told of each change, at Info; nil is silent.
	Log *slog.Logger
	// DevDir is where device nodes are; "" is /dev.
	DevDir string
	// StateDir is where it is noted which pools this host reads the metadata
	// of; "" is /var/lib/xenhost/lvm. It must be on a disk that survives a
	// power failure, and the same for all that use these groups.
	StateDir string
	// Wiped is told while a volume is zeroed how many of its bytes are done;
	// it holds up the wipe while it runs. nil is told nothing.
	Wiped func(id ID, done, size int64)
}

// New returns a Client that runs lvm through r.
func New(r dom0.Runner, opts *Options) *Client {
	c := &Client{runner: r}
	if opts != nil {
		c.options = *opts
		c.options.Flags = slices.Clone(opts.Flags)
	}
	if c.options.Timeout <= 0 {
		c.options.Timeout = time.Minute
	}
	if c.options.Log == nil {
		c.options.Log = slog.New(slog.DiscardHandler)
	}
	if c.options.DevDir == "" {
		c.options.DevDir = "/dev"
	}
	if c.options.StateDir == "" {
		c.options.StateDir = "/var/lib/xenhost/lvm"
	}
	return c
}

// read runs a command that changes nothing and returns what it printed.
func (c *Client) read(ctx context.Context, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	var out bytes.Buffer
	err := c.runner.Run(ctx, dom0.Cmd{Args: c.argv(name, args), Stdout: &out, Env: environment()})
	return out.Bytes(), err
}

// change runs a command that is not to be stopped half-way.
func (c *Client) change(ctx context.Context, name string, args ...string) error {
	err := c.runner.Run(ctx, dom0.Cmd{Args: c.argv(name, args), Env: environment(), NoKill: true})
	c.options.Log.InfoContext(ctx, "lvm", "command", name, "args", strings.Join(args, " "), "err", err)
	return err
}

func (c *Client) argv(name string, args []string) []string {
	return slices.Concat([]string{"lvm", name}, c.options.Flags, args)
}

// environment keeps lvm from warning about file descriptors of ours.
func environment() []string { return []string{"LVM_SUPPRESS_FD_WARNINGS=1"} }

func (c *Client) path(id ID) string { return filepath.Join(c.options.DevDir, id.Group, id.Name) }

// mapperName is what device-mapper calls a volume or, with a suffix, a layer of
// it, as guests-web1--snap-cow: hyphens inside names are doubled.
func mapperName(id ID, suffix string) string {
	double := func(s string) string { return strings.ReplaceAll(s, "-", "--") }
	return double(id.Group) + "-" + double(id.Name) + suffix
}

func (c *Client) mapperPath(id ID, suffix string) string {
	return filepath.Join(c.options.DevDir, "mapper", mapperName(id, suffix))
}

// contradicts is the error of a change that LVM reported as done and that is
// not to be seen. cause is what the command said, if it did fail.
func contradicts(what string, cause error) error {
	if cause != nil {
		return fmt.Errorf("%s: %w", what, cause)
	}
	return fmt.Errorf("%s, though LVM reported success", what)
}

// failed wraps err, if it is one.
func failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Name: name, Err: err}
}
