// Package diskratetest has disk limits without a kernel (Fake) and the suite
// that every diskrate.Manager must pass (TestManager).
package diskratetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"github.com/xenhost/xenhost/shaping/diskrate"
)

// Fake limits the disks of a simulated host. It is safe for concurrent use.
type Fake struct {
	// Unsupported makes it a host whose kernel has no limits.
	Unsupported bool

	mu      sync.Mutex
	devices map[string]diskrate.Device
	limits  map[diskrate.Device]diskrate.Limit
	threads map[string]bool // by name: whether it is held to the limits
}

var _ diskrate.Manager = (*Fake)(nil)

// New returns a host with these devices, as /dev/guests/web1, numbered 253:0
// and on.
func New(paths ...string) *Fake {
	f := &Fake{
		devices: map[string]diskrate.Device{}, limits: map[diskrate.Device]diskrate.Limit{}, threads: map[string]bool{},
	}
	for _, p := range paths {
		f.Plug(p)
	}
	return f
}

// Plug makes a device and returns its number; one of that path goes first.
func (f *Fake) Plug(path string) diskrate.Device {
	f.Unplug(path)
	f.mu.Lock()
	defer f.mu.Unlock()
	used := slices.Collect(maps.Values(f.devices))
	d := diskrate.Device{Major: 253}
	for slices.Contains(used, d) {
		d.Minor++
	}
	f.devices[path] = d
	return d
}

// Unplug takes a device away, as when a volume is deactivated; its limit goes
// with it.
func (f *Fake) Unplug(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.limits, f.devices[path])
	delete(f.devices, path)
}

// Begin starts a thread that serves a guest's disk, as "7.xvda-0"; End ends it.
func (f *Fake) Begin(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.threads[name] = false
}

// End ends a thread.
func (f *Fake) End(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.threads, name)
}

// Read implements diskrate.Manager.
func (f *Fake) Read(ctx context.Context) (s diskrate.State, err error) {
	err = f.do(ctx, "read", "", func() error {
		if f.Unsupported {
			return errors.ErrUnsupported
		}
		s.Limits = maps.Clone(f.limits)
		for name, held := range f.threads {
			if !held && len(f.limits) > 0 {
				s.Loose = append(s.Loose, name)
			}
		}
		slices.Sort(s.Loose)
		return nil
	})
	return s, err
}

// Set implements diskrate.Manager.
func (f *Fake) Set(ctx context.Context, path string, want diskrate.Limit) error {
	return f.do(ctx, "set", path, func() error {
		if err := want.Validate(); err != nil {
			return errors.Unwrap(err)
		}
		if f.Unsupported && want != (diskrate.Limit{}) {
			return errors.ErrUnsupported
		}
		d, ok := f.devices[path]
		if !ok && !f.Unsupported {
			return fmt.Errorf("%w", fs.ErrNotExist)
		}
		f.limits[d] = want
		if want == (diskrate.Limit{}) {
			delete(f.limits, d)
		}
		f.takeIn()
		return nil
	})
}

// Refresh implements diskrate.Manager.
func (f *Fake) Refresh(ctx context.Context) error {
	return f.do(ctx, "refresh", "", func() error {
		f.takeIn()
		return nil
	})
}

// takeIn holds the threads while there is a limit.
func (f *Fake) takeIn() {
	for name := range f.threads {
		f.threads[name] = len(f.limits) > 0
	}
}

func (f *Fake) do(ctx context.Context, op, name string, work func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := ctx.Err()
	if err == nil {
		err = work()
	}
	if err != nil {
		return &diskrate.Error{Op: op, Name: name, Err: err}
	}
	return nil
}
