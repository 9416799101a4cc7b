// Package shapingtest has rates without a kernel (Fake) and the suite that
// every shaping.Manager must pass (TestManager).
package shapingtest

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/shaping"
)

// Options say what the simulated host has before we come; nil is a host with
// the interface eth0 and the clock of time.Now.
type Options struct {
	Interfaces []string
	Now        func() time.Time
}

// Fake keeps the rates of a simulated host. It refuses what shaping.Linux
// refuses, and is safe for concurrent use.
type Fake struct {
	mu     sync.Mutex
	now    func() time.Time
	links  map[string]*link
	state  shaping.State
	counts map[uuid.UUID]shaping.Counter
	faults []fault
	news   chan struct{} // an interface came
}

var _ shaping.Keeper = (*Fake)(nil)

// link is an interface: foreign has a queue of somebody else, limited one of
// ours, and sends is limited in what it sends.
type link struct{ foreign, limited, sends bool }

// New returns a simulated host.
func New(opts *Options) *Fake {
	if opts == nil {
		opts = &Options{Interfaces: []string{"eth0"}}
	}
	f := &Fake{now: opts.Now, links: map[string]*link{}, counts: map[uuid.UUID]shaping.Counter{}, news: make(chan struct{}, 1)}
	if f.now == nil {
		f.now = time.Now
	}
	for _, name := range opts.Interfaces {
		f.links[name] = &link{}
	}
	return f
}

// Plug makes an interface, as a vif comes when its domain starts: without a
// limit. One of that name goes first.
func (f *Fake) Plug(name string) {
	f.Unplug(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.links[name] = &link{}
	f.tell()
}

// Unplug takes an interface away, as a vif goes with its domain; its counters
// go with it.
func (f *Fake) Unplug(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.links, name)
	for _, g := range f.state.Guests {
		if slices.Contains(g.Vifs, name) {
			f.counts[g.UUID] = shaping.Counter{Upload: f.counts[g.UUID].Upload}
		}
	}
}

// Plant puts a queue on an interface that is not ours, as an operator does by
// hand with tc.
func (f *Fake) Plant(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.links[name] = &link{foreign: true}
	f.tell()
}

// Carry lets so many bytes pass for a guest.
func (f *Fake) Carry(id uuid.UUID, download, upload uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.counts[id]
	c.Download.Bytes += download
	c.Upload.Bytes += upload
	f.counts[id] = c
}

// Read implements shaping.Manager.
func (f *Fake) Read(ctx context.Context) (s shaping.State, err error) {
	err = f.do(ctx, "read", "", func() error {
		s = f.read()
		return nil
	})
	return s, err
}

// Apply implements shaping.Manager.
func (f *Fake) Apply(ctx context.Context, want shaping.State) (plan shaping.Plan, err error) {
	err = f.do(ctx, "apply", "", func() error {
		want, _ = want.Until(f.now())
		if err := f.check(want, want.Guests); err != nil {
			return err
		}
		plan = shaping.Diff(f.read(), want)
		f.become(want)
		return nil
	})
	if err != nil {
		return shaping.Plan{}, err
	}
	return plan, nil
}

// Set implements shaping.Manager.
func (f *Fake) Set(ctx context.Context, want shaping.Guest) error {
	return f.do(ctx, "set", want.UUID.String(), func() error {
		one, _ := shaping.State{Guests: []shaping.Guest{want}}.Until(f.now())
		next := f.state.With(one.Guests[0])
		if err := f.check(next, one.Guests); err != nil {
			return err
		}
		f.become(next)
		return nil
	})
}

// Remove implements shaping.Manager.
func (f *Fake) Remove(ctx context.Context, id uuid.UUID) error {
	return f.do(ctx, "remove", id.String(), func() error {
		f.become(f.state.Without(id))
		return nil
	})
}

// Refresh implements shaping.Manager.
func (f *Fake) Refresh(ctx context.Context) (next time.Time, err error) {
	err = f.do(ctx, "refresh", "", func() error {
		var at shaping.State
		at, next = f.state.Until(f.now())
		f.become(at)
		return f.check(at, at.Guests)
	})
	return next, err
}

// Counters implements shaping.Manager.
func (f *Fake) Counters(ctx context.Context) (out []shaping.Counter, err error) {
	err = f.do(ctx, "count", "", func() error {
		for _, g := range f.state.Guests {
			c := f.counts[g.UUID]
			c.UUID = g.UUID
			out = append(out, c)
		}
		return nil
	})
	return out, err
}

// read is what is in force, a copy.
func (f *Fake) read() shaping.State {
	s := f.state.Normalize()
	for i, g := range s.Guests {
		for _, v := range g.Vifs {
			if l := f.links[v]; l != nil && (l.limited != limited(g) || l.sends != sends(g)) {
				s.Guests[i] = shaping.Guest{UUID: g.UUID, Vifs: g.Vifs}
			}
		}
	}
	return s
}

// limited: the guest's vifs have a queue of ours.
func limited(g shaping.Guest) bool { return g.Limits().Download != 0 }

// sends: what the guest's vifs send is limited.
func sends(g shaping.Guest) bool { return g.Limits().Send != 0 }

// become makes the host as next says, where nothing foreign is in the way.
func (f *Fake) become(next shaping.State) {
	f.state = next.Normalize()
	wanted := map[string]shaping.Guest{}
	for _, g := range f.state.Guests {
		for _, v := range g.Vifs {
			wanted[v] = g
		}
	}
	for name, l := range f.links {
		l.limited, l.sends = limited(wanted[name]) && !l.foreign, sends(wanted[name])
	}
	for id := range f.counts {
		if _, ok := f.state.Guest(id); !ok {
			delete(f.counts, id)
		}
	}
}

// check refuses what a host would, of the whole next state what contradicts
// itself, of the guests that change what this host can not give them.
func (f *Fake) check(next shaping.State, changed []shaping.Guest) error {
	if err := next.Validate(); err != nil {
		return bare(err)
	}
	if up := next.Uplink.Dev; up != "" {
		switch l := f.links[up]; {
		case l == nil:
			return fmt.Errorf("uplink %s: %w", up, fs.ErrNotExist)
		case l.foreign:
			return fmt.Errorf("uplink %s: queue: %w", up, shaping.ErrForeign)
		}
	}
	for _, g := range changed {
		for _, v := range g.Vifs {
			if l := f.links[v]; l != nil && l.foreign && limited(g) {
				return fmt.Errorf("guest %v: vif %s: queue: %w", g.UUID, v, shaping.ErrForeign)
			}
		}
	}
	return nil
}
