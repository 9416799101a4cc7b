package shaping

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Options of New; nil and the zero value are right for a dom0.
type Options struct {
	// NetNS is the path of the network namespace to work in, as
	// /run/netns/test; empty is the one of the process.
	NetNS string
	// LockDir holds the lock that all processes of a host share; empty is
	// /run/lock/xenhost.
	LockDir string
	// Now is the clock for throttles; nil is time.Now.
	Now func() time.Time
	// Log gets what was changed (Info); nil is silent.
	Log *slog.Logger
}

// Linux keeps the rates of the host that it runs on.
type Linux struct {
	netns, lockDir string
	now            func() time.Time
	log            *slog.Logger
	plain          atomic.Bool // the kernel was seen to have no fq_codel

	mu     sync.Mutex
	kernel *kernel // nil before the first operation, and after a failed one
}

// New returns the manager of this host's rates. It needs root and touches
// nothing yet. From its first operation on it holds two sockets, as long as it
// is in use.
func New(opts *Options) *Linux {
	if opts == nil {
		opts = &Options{}
	}
	l := &Linux{netns: opts.NetNS, lockDir: opts.LockDir, now: opts.Now, log: opts.Log}
	if l.lockDir == "" {
		l.lockDir = "/run/lock/xenhost"
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	return l
}

// Read implements Manager. An uplink shows while its queue, the class of the
// line and dom0's stand as we make them.
func (l *Linux) Read(ctx context.Context) (State, error) {
	var s State
	err := l.do(ctx, func(k *kernel) error {
		seen, err := k.look()
		s = seen.actual()
		return err
	})
	if err != nil {
		return State{}, &Error{Op: "read", Err: err}
	}
	return s, nil
}

// Apply implements Manager. Nothing is changed if any of want is refused. When
// Apply fails half-way, doing it again goes on from there.
func (l *Linux) Apply(ctx context.Context, want State) (Plan, error) {
	want, _ = want.Until(l.now())
	var plan Plan
	err := l.do(ctx, func(k *kernel) error {
		if err := want.validate(want.Guests); err != nil {
			return err
		}
		seen, err := k.look()
		if err != nil {
			return err
		}
		plan = Diff(seen.actual(), want)
		return l.become(k, seen, want, everyone)
	})
	if err != nil {
		return Plan{}, &Error{Op: "apply", Err: err}
	}
	return plan, nil
}

func everyone(uuid.UUID) bool { return true }

// become makes the host as want says, but for guests that are not mine to
// change, and looks whether it is.
func (l *Linux) become(k *kernel, seen observed, want State, mine func(uuid.UUID) bool) error {
	if want.Uplink.Dev != seen.noted.Uplink.Dev {
		if link, ours := seen.stands(want.Uplink); ours { // a call that was cut off left it
			if err := k.lookClasses(&seen, link); err != nil {
				return err
			}
		}
	}
	j, err := seen.plan(want, mine, true)
	if err != nil || j.empty() {
		return err
	}
	l.say(Diff(seen.actual(), want))
	j, err = k.prepared(j, func() (*job, error) {
		if seen, err = k.look(); err != nil {
			return nil, err
		}
		return seen.plan(want, mine, true)
	})
	if err != nil {
		return err
	}
	if err := l.carryOut(k, j); err != nil {
		return err
	}
	if seen, err = k.look(); err != nil {
		return err
	}
	return differs(Diff(seen.actual().of(mine), want.of(mine)))
}

// of is the part of s that concerns some guests, and the uplink.
func (s State) of(mine func(uuid.UUID) bool) State {
	s.Guests = slices.DeleteFunc(slices.Clone(s.Guests), func(g Guest) bool { return !mine(g.UUID) })
	return s
}

// Refresh implements Manager. A guest whose vif has a queue that is not ours is
// reported and left as it is; the others get theirs.
func (l *Linux) Refresh(ctx context.Context) (next time.Time, err error) {
	err = l.do(ctx, func(k *kernel) error {
		seen, err := k.look()
		if err != nil || !seen.made {
			return err
		}
		var want State
		want, next = seen.noted.Until(l.now())
		obstructed := seen.obstructed(want)
		mine := func(id uuid.UUID) bool { return obstructed[id] == nil }
		errs := []error{l.become(k, seen, want, mine)}
		for _, g := range want.Guests {
			errs = append(errs, obstructed[g.UUID])
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return next, &Error{Op: "refresh", Err: err}
	}
	return next, nil
}

// Counters implements Manager.
func (l *Linux) Counters(ctx context.Context) ([]Counter, error) {
	var out []Counter
	err := l.do(ctx, func(k *kernel) error {
		seen, err := k.look()
		if err != nil {
			return err
		}
		for _, g := range seen.noted.Guests {
			c := Counter{UUID: g.UUID, Upload: seen.flows[seen.classOf(g)]}
			for _, v := range g.Vifs {
				if r := seen.roots[seen.links[v]]; r.ours(vifRoot) {
					c.Download = c.Download.plus(r.flow)
				}
				if r := seen.roots[seen.rounds[v]]; r.ours(vifRoot) {
					c.Send = c.Send.plus(r.flow)
				}
			}
			out = append(out, c)
		}
		return nil
	})
	if err != nil {
		return nil, &Error{Op: "count", Err: err}
	}
	return out, nil
}

func (f Flow) plus(o Flow) Flow {
	return Flow{f.Bytes + o.Bytes, f.Packets + o.Packets, f.Drops + o.Drops, f.Backlog + o.Backlog}
}

// differs is the error of a plan that should be empty after the work.
func differs(p Plan) error {
	if p.Empty() {
		return nil
	}
	return fmt.Errorf("read back and not as asked: %s %s (and %d more)", p.Steps[0].Verb, p.Steps[0].What, len(p.Steps)-1)
}

func (l *Linux) say(p Plan) {
	for _, s := range p.Steps {
		l.log.Info("shaping", "verb", s.Verb, "what", s.What)
	}
}
