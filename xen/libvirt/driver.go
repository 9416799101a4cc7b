package libvirt

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/internal/verb"
	"github.com/xenhost/xenhost/xen/xl"
)

// What New takes if Options say nothing.
const (
	DefaultSocket = "/run/libvirt/libvirt-sock"
	DefaultURI    = "xen:///system"
)

// Options changes how a Driver works; the zero value is right for a dom0.
type Options struct {
	// Socket is the Unix socket of libvirtd or virtxend; "" is DefaultSocket.
	Socket string
	// URI is the libvirt driver to open there; "" is DefaultURI.
	URI string
	// Dial makes a connection in place of Socket; it must obey ctx.
	Dial func(ctx context.Context) (net.Conn, error)
	// Log gets one Info record per change; nil is silent.
	Log *slog.Logger
	// Runner runs xl in this dom0, for what libvirt can not: to take away what a
	// failed attach left, of which libvirt knows nothing, and to see whether a
	// guest went on after a save that failed. nil is dom0.Local.
	Runner dom0.Runner
	// TempDir is where the pipe stands through which libvirtd reads what it
	// restores, in a directory of mode 0700; "" is the system's.
	TempDir string
	// Poll is how often the driver looks while it waits; 0 is 500 ms.
	Poll time.Duration
	// Limits end calls that hang.
	Limits Limits
}

// Limits bound single calls; 0 is the default. While a guest is asked to shut
// down, libvirt locks it for up to the 60 s that libxl waits for an answer, and
// all that looks at it waits too: keep Query and Destroy above that.
type Limits struct {
	Query    time.Duration // what only looks, pause and the like: 90 s
	Create   time.Duration // 180 s
	Shutdown time.Duration // until the guest has said that it heard: 75 s
	Destroy  time.Duration // until the domain is off the list: 120 s
	Resize   time.Duration // until the guest has taken or given memory or vCPUs: 60 s
	Attach   time.Duration // a disk, a vif, a CD, on and off: 90 s
	Stall    time.Duration // of a save or restore in which no byte moves: 2 minutes
}

// Driver speaks to one libvirtd. It is safe for concurrent use: verbs on one
// domain wait for each other, and so do creates and renames. It connects when
// it is first used, and again whenever a connection was lost.
type Driver struct {
	opts     Options
	sessions *sessions
	verbs    verb.Verbs
	xl       *xl.Driver // sees the same domains
}

var _ interface {
	xen.Domains
	xen.Saver
	xen.Resizer
	xen.Scheduler
	xen.Devices
	xen.Media
	xen.Configurer
	xen.Rebooter
	xen.Consoler
	xen.Screener
	xen.Featurer
} = (*Driver)(nil)

// New returns a driver; opts may be nil.
func New(opts *Options) *Driver {
	d := &Driver{}
	if opts != nil {
		d.opts = *opts
	}
	for _, def := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&d.opts.Poll, 500 * time.Millisecond},
		{&d.opts.Limits.Query, 90 * time.Second},
		{&d.opts.Limits.Create, 3 * time.Minute},
		{&d.opts.Limits.Shutdown, 75 * time.Second},
		{&d.opts.Limits.Destroy, 2 * time.Minute},
		{&d.opts.Limits.Resize, time.Minute},
		{&d.opts.Limits.Attach, 90 * time.Second},
		{&d.opts.Limits.Stall, 2 * time.Minute},
	} {
		if *def.field == 0 {
			*def.field = def.value
		}
	}
	if d.opts.Socket == "" {
		d.opts.Socket = DefaultSocket
	}
	if d.opts.URI == "" {
		d.opts.URI = DefaultURI
	}
	if d.opts.Log == nil {
		d.opts.Log = slog.New(slog.DiscardHandler)
	}
	if d.opts.Dial == nil {
		d.opts.Dial = func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.opts.Socket)
		}
	}
	if d.opts.Runner == nil {
		d.opts.Runner = dom0.Local{}
	}
	d.xl = xl.New(d.opts.Runner, &xl.Options{Poll: d.opts.Poll})
	d.verbs.Poll, d.verbs.Log = d.opts.Poll, d.opts.Log
	d.sessions = &sessions{dial: d.opts.Dial, uri: d.opts.URI}
	return d
}

// Close hangs up. Calls that are under way go on to their end; later ones fail
// with net.ErrClosed.
func (d *Driver) Close() error { return d.sessions.close() }
