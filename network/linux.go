package network

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/dom0"
)

// Options of New; nil and the zero value are right for a dom0.
type Options struct {
	// Runner runs iptables-save and iptables-restore; nil is dom0.Local. It
	// must run them on this machine: links are changed by netlink.
	Runner dom0.Runner
	// IPTables is the command whose family is used: "" is "iptables", which is
	// what the host has chosen; "iptables-legacy" and "iptables-nft" insist.
	IPTables string
	// NetNS is the path of the network namespace to work in, as
	// /run/netns/test; empty is the one of the process.
	NetNS string
	// Reserved ports of dom0 are never forwarded, nor is 22, nor a port that
	// something in dom0 listens on.
	Reserved []uint16
	// LockDir holds the lock that all processes of a host share; empty is
	// /run/lock/xenhost.
	LockDir string
	// Log gets what was changed (Info); nil is silent.
	Log *slog.Logger
}

// Linux keeps the network of the host that it runs on.
type Linux struct {
	runner   dom0.Runner
	iptables string
	netns    string
	reserved []uint16
	lockDir  string
	log      *slog.Logger
}

var _ Manager = (*Linux)(nil)

// patience bounds one operation, beyond the caller's own deadline.
const patience = time.Minute

// New returns the manager of this host's network. It needs root and touches
// nothing yet.
func New(opts *Options) *Linux {
	if opts == nil {
		opts = &Options{}
	}
	l := &Linux{
		runner: opts.Runner, iptables: opts.IPTables, netns: opts.NetNS, lockDir: opts.LockDir, log: opts.Log,
		reserved: append([]uint16{22}, opts.Reserved...),
	}
	if l.runner == nil {
		l.runner = dom0.Local{Log: opts.Log}
	}
	if l.iptables == "" {
		l.iptables = "iptables"
	}
	if l.lockDir == "" {
		l.lockDir = "/run/lock/xenhost"
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	return l
}

// Read returns what carries our mark and is in force: a bridge, its ports and
// addresses that are there; a guest's port unless its vif exists outside of
// its bridge; a forward or masquerade whose rule is as we write it.
func (l *Linux) Read(ctx context.Context) (State, error) {
	var s State
	err := l.do(ctx, func(ctx context.Context, k *kernel) error {
		seen, err := l.observe(ctx, k)
		s = seen.actual
		return err
	})
	if err != nil {
		return State{}, &Error{Op: "read", Err: err}
	}
	return s, nil
}

// Apply implements Manager. Each iptables table changes in one step or not at
// all, filter before nat, and filter goes back if nat is refused; links that
// go are taken away before, links that come are made after. When Apply fails
// half-way, doing it again goes on from there.
//
// Forwards and masquerades need net.ipv4.ip_forward; Apply and Set switch it
// on when there are any, and never off.
func (l *Linux) Apply(ctx context.Context, want State) (Plan, error) {
	want = want.Normalize()
	var plan Plan
	err := l.do(ctx, func(ctx context.Context, k *kernel) error {
		if err := want.validate(); err != nil {
			return err
		}
		seen, err := l.observe(ctx, k)
		if err != nil {
			return err
		}
		if err := l.allowed(seen, want, want.Guests); err != nil {
			return err
		}
		if err := k.checkBridges(seen, want.Bridges); err != nil {
			return err
		}
		plan = Diff(seen.actual, want)
		l.say(plan)
		if err := k.takeBridges(seen, want.Bridges); err != nil {
			return err
		}
		if err := l.write(ctx, k, seen, want); err != nil {
			return err
		}
		if err := k.makeBridges(want.Bridges); err != nil {
			return err
		}
		for _, g := range seen.record.state.Guests {
			next, _ := want.Guest(g.UUID)
			if err := k.unplug(g, next); err != nil {
				return err
			}
		}
		for _, g := range want.Guests {
			if err := k.plug(g); err != nil {
				return err
			}
		}
		if seen, err = l.observe(ctx, k); err != nil {
			return err
		}
		return differs(Diff(seen.actual, want))
	})
	if err != nil {
		return Plan{}, &Error{Op: "apply", Err: err}
	}
	return plan, nil
}

// Set implements Manager. The guest's vifs need not exist yet: Xen's own
// script plugs them when the domain starts, and what is there already is
// plugged here.
func (l *Linux) Set(ctx context.Context, want Guest) error {
	want = want.Normalize()
	err := l.do(ctx, func(ctx context.Context, k *kernel) error {
		return l.replace(ctx, k, want.UUID, &want)
	})
	if err != nil {
		return &Error{Op: "set", Name: want.UUID.String(), Err: err}
	}
	return nil
}

// Remove implements Manager. Vifs that are still there leave their bridge.
func (l *Linux) Remove(ctx context.Context, id uuid.UUID) error {
	err := l.do(ctx, func(ctx context.Context, k *kernel) error {
		return l.replace(ctx, k, id, nil)
	})
	if err != nil {
		return &Error{Op: "remove", Name: id.String(), Err: err}
	}
	return nil
}

// replace makes one guest's part as want says; nil removes it. The rest stays
// as recorded, also where links are not as they should be.
func (l *Linux) replace(ctx context.Context, k *kernel, id uuid.UUID, want *Guest) error {
	seen, err := l.observe(ctx, k)
	if err != nil {
		return err
	}
	old, _ := seen.record.state.Guest(id)
	next := seen.record.state.Without(id)
	if want != nil {
		next = next.With(*want)
		if err := next.validateGuest(*want); err != nil {
			return err
		}
		if err := l.allowed(seen, next, []Guest{*want}); err != nil {
			return err
		}
	}
	l.say(Diff(seen.actual, next))
	if err := l.write(ctx, k, seen, next); err != nil {
		return err
	}
	now, _ := next.Guest(id)
	if err := k.unplug(old, now); err != nil {
		return err
	}
	if err := k.plug(now); err != nil {
		return err
	}
	if seen, err = l.observe(ctx, k); err != nil {
		return err
	}
	var have, wanted State
	if g, ok := seen.actual.Guest(id); ok {
		have.Guests = []Guest{g}
	}
	if want != nil {
		wanted.Guests = []Guest{*want}
	}
	return differs(Diff(have, wanted))
}

// allowed refuses guests on bridges that are not there, and forwards of ports
// that dom0 itself needs. What is in force already is not asked again.
func (l *Linux) allowed(seen observed, next State, changed []Guest) error {
	listeners, err := listening()
	if err != nil {
		return err
	}
	for _, g := range changed {
		for _, p := range g.Ports {
			coming := slices.ContainsFunc(next.Bridges, func(b Bridge) bool { return b.Name == p.Bridge })
			b, there := seen.bridges[p.Bridge]
			if !coming && (!there || b.ours) {
				return fmt.Errorf("bridge %s: %w", p.Bridge, fs.ErrNotExist)
			}
			if err := seen.vifFree(p, g.UUID); err != nil {
				return err
			}
		}
		old, _ := seen.record.state.Guest(g.UUID)
		for _, f := range g.Forwards {
			if slices.Contains(old.Forwards, f) {
				continue
			}
			if slices.Contains(l.reserved, f.Port) || slices.ContainsFunc(listeners, f.takesFrom) {
				return fmt.Errorf("forward %v: %w", f, ErrReserved)
			}
		}
	}
	return nil
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
		l.log.Info("network", "verb", s.Verb, "what", s.What)
	}
}
