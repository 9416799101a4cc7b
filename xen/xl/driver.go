package xl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Options changes how a Driver works; the zero value is right for most hosts.
type Options struct {
	// Log gets one Info record per change; nil is silent.
	Log *slog.Logger
	// TempDir is where a configuration stands while xl reads it; "" is the
	// system's directory. The files are 0600 and removed at once.
	TempDir string
	// RunDir is where a migration has its FIFOs and its lock, the same for all
	// processes of a host; "" is /run/xenhost. It must not survive a boot.
	RunDir string
	// CPUID is the path of xen-cpuid; "" looks where cpuid.Read looks.
	CPUID string
	// Poll is how often the driver looks while it waits; 0 is 500 ms.
	Poll time.Duration
	// Limits end commands that hang.
	Limits Limits
}

// Limits bound single operations; 0 is the default. They lie above libxl's own
// time-outs (40 s for a hotplug script, 60 s for the answer to a shutdown), so
// that xl can clean up before it is killed.
type Limits struct {
	Query    time.Duration // xl list, xl info, xl pause and the like: 60 s
	Create   time.Duration // 180 s
	Shutdown time.Duration // until the guest has said that it heard: 75 s
	Destroy  time.Duration // until the domain is off the list: 120 s
	Attach   time.Duration // a disk, a vif, a CD: 60 s
	Detach   time.Duration // 30 s
	Resize   time.Duration // until the guest has the memory or vCPUs that it was asked to have: 60 s
}

// Driver runs the xl command of one dom0. It is safe for concurrent use: verbs
// on one domain wait for each other, and so do creates and renames.
type Driver struct {
	runner dom0.Runner
	opts   Options
	verbs  verb.Verbs
}

var _ interface {
	xen.Domains
	xen.Saver
	xen.Migrator
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

// New returns a driver that runs xl through r; opts may be nil.
func New(r dom0.Runner, opts *Options) *Driver {
	d := &Driver{runner: r}
	if opts != nil {
		d.opts = *opts
	}
	for _, def := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&d.opts.Poll, 500 * time.Millisecond},
		{&d.opts.Limits.Query, time.Minute},
		{&d.opts.Limits.Create, 3 * time.Minute},
		{&d.opts.Limits.Shutdown, 75 * time.Second},
		{&d.opts.Limits.Destroy, 2 * time.Minute},
		{&d.opts.Limits.Attach, time.Minute},
		{&d.opts.Limits.Detach, 30 * time.Second},
		{&d.opts.Limits.Resize, time.Minute},
	} {
		if *def.field == 0 {
			*def.field = def.value
		}
	}
	if d.opts.RunDir == "" {
		d.opts.RunDir = "/run/xenhost"
	}
	if d.opts.Log == nil {
		d.opts.Log = slog.New(slog.DiscardHandler)
	}
	d.verbs.Poll, d.verbs.Log = d.opts.Poll, d.opts.Log
	return d
}

// answer is what a command said, whatever its exit code was.
type answer struct {
	stdout string
	stderr string
	err    error // *dom0.Error
}

// failure is the answer's error with its meaning, or nil.
func (a answer) failure() error {
	if a.err == nil {
		return nil
	}
	return explain(a.stderr, a.err)
}

// run runs argv for at most limit.
func (d *Driver) run(ctx context.Context, limit time.Duration, argv ...string) answer {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	err := d.runner.Run(ctx, dom0.Cmd{Args: argv, Stdout: &stdout, Stderr: &stderr})
	return answer{stdout: stdout.String(), stderr: stderr.String(), err: err}
}

// onLive does work on a domain that runs or is paused.
func (d *Driver) onLive(ctx context.Context, op string, id uuid.UUID, work func(dom xen.Domain) error) error {
	return d.verbs.On(ctx, op, id.String(), id, func() error {
		dom, err := d.lookup(ctx, id)
		if err != nil {
			return err
		}
		if dom.State != xen.Running && dom.State != xen.Paused {
			return fmt.Errorf("domain is %s: %w", dom.State, xen.ErrBusy)
		}
		return work(dom)
	})
}

// monitored reports whether the process that xl create left behind for a
// domain of this driver still runs. While it does, it can start the domain
// again: after a reboot of the guest it waits two seconds with no domain on
// the list.
func (d *Driver) monitored(ctx context.Context, id uuid.UUID) (bool, error) {
	a := d.run(ctx, d.opts.Limits.Query, "pgrep", "-f", configName(id))
	var failed *dom0.Error
	switch {
	case a.err == nil:
		return true, nil
	case errors.As(a.err, &failed) && failed.ExitCode == 1:
		return false, nil
	}
	return false, fmt.Errorf("look for the monitor: %w", a.err)
}
