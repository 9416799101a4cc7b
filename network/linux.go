package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/dom0"
)

// Options of New; nil and the zero value are right for a dom0.
type Options struct {
	// Runner runs the commands of the firewall. It must run them on this
	// machine: links are changed by netlink. nil is dom0.Local.
	Runner dom0.Runner
	// Firewall is what keeps the rules: "iptables" (the family that the host has
	// chosen), "iptables-legacy", "iptables-nft" or "nft". "" is what Probe
	// picks, and refuses hosts on which both families are in use.
	Firewall string
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

// Linux keeps the network of the host that it runs on. It remembers what it
// read last, and trusts that only while the kernel shows that nobody has
// written since.
type Linux struct {
	runner   dom0.Runner
	firewall string
	netns    string
	reserved []uint16
	lockDir  string
	log      *slog.Logger

	mu      sync.Mutex
	backend backend // chosen at the first call
	memory  *memory
	apart   stamp // nf_tables when no other family was seen to be in use
}

// A memory is what the kernel holds as long as its stamp is the same: exactly
// the lines that the book needs, no more and no less.
type memory struct {
	book  *book
	stamp stamp
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
		runner: opts.Runner, firewall: opts.Firewall, netns: opts.NetNS, lockDir: opts.LockDir, log: opts.Log,
		reserved: append([]uint16{22}, opts.Reserved...),
	}
	if l.runner == nil {
		l.runner = dom0.Local{Log: opts.Log}
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
// its bridge; a forward or masquerade all of whose rules are as we write them.
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

// Apply implements Manager. Each table of the firewall changes in one step or
// not at all, and all go back if one is refused; links that go are taken away
// before, links that come are made after. When Apply fails half-way, doing it
// again goes on from there.
//
// Forwards and masquerades need net.ipv4.ip_forward or
// net.ipv6.conf.all.forwarding; Apply and Set switch it on when there are any,
// and never off.
func (l *Linux) Apply(ctx context.Context, want State) (Plan, error) {
	want = want.Normalize()
	var plan Plan
	err := l.do(ctx, func(ctx context.Context, k *kernel) error {
		seen, err := l.observe(ctx, k)
		if err != nil {
			return err
		}
		plan = Diff(seen.actual, want)
		if plan.Empty() && seen.clean && len(want.Guests) == len(seen.actual.Guests) {
			return l.forwardPackets(seen.book)
		}
		return l.apply(ctx, k, seen, plan, want)
	})
	if err != nil {
		return Plan{}, &Error{Op: "apply", Err: err}
	}
	return plan, nil
}

func (l *Linux) apply(ctx context.Context, k *kernel, seen observed, plan Plan, want State) error {
	if err := want.validate(); err != nil {
		return err
	}
	if err := l.allowed(k, seen, want.coming(), want.Guests); err != nil {
		return err
	}
	if err := errors.Join(k.checkLinks(seen, want), k.checkBridges(seen, want)); err != nil {
		return err
	}
	l.say(plan)
	if err := k.takeBridges(seen, want.Bridges); err != nil {
		return err
	}
	if err := k.takeLinks(seen, want); err != nil {
		return err
	}
	next := newBook(l.backend, want, seen.foundIn(want))
	old, _ := differing(seen.guests(), want.Guests)
	if err := k.withhold(old, proxiesOf(want.Guests)); err != nil {
		return err
	}
	if err := l.write(ctx, seen, next, seen.lines(), next.needs.lines()); err != nil {
		return err
	}
	if err := k.makeLinks(want); err != nil {
		return err
	}
	if err := k.makeBridges(want.Bridges); err != nil {
		return err
	}
	for _, g := range old {
		if err := k.unplug(g, next.guests[g.UUID]); err != nil {
			return err
		}
	}
	routes := sync.OnceValues(k.allRoutes)
	for _, g := range want.Guests {
		if err := k.plug(g, routes); err != nil {
			return err
		}
	}
	if err := k.forget(old, next.guests, l.log); err != nil {
		return err
	}
	now, err := l.observe(ctx, k)
	if err != nil {
		return err
	}
	return differs(Diff(now.actual, want))
}

// Set implements Manager. The guest's vifs need not exist yet: Xen's own
// script plugs them when the domain starts, and what is there already is
// plugged here. A routed one's addresses are announced on its
// uplink when they begin to lead to the guest.
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
	seen, err := l.recall(ctx)
	if err != nil {
		return err
	}
	old, had := seen.book.guests[id]
	var now Guest
	if want != nil {
		now = *want
	}
	if err := k.lookAt(&seen, old, now); err != nil {
		return err
	}
	if want != nil {
		if err := seen.book.claim(now); err != nil {
			return err
		}
		if err := l.allowed(k, seen, seen.book.host.coming(), []Guest{now}); err != nil {
			l.memory = nil // its claims are no longer what the kernel holds
			return err
		}
	} else {
		seen.book.claims.drop(old)
	}
	l.say(Diff(only(old, had), only(now, want != nil)))
	if err := k.withhold(only(old, had).Guests, proxiesOf(only(now, want != nil).Guests)); err != nil {
		l.memory = nil
		return err
	}
	before, after := seen.book.replace(id, want)
	if !seen.clean {
		before, after = seen.have, seen.book.needs.lines()
	}
	if err := l.write(ctx, seen, seen.book, before, after); err != nil {
		return err
	}
	if err := k.unplug(old, now); err != nil {
		return err
	}
	if err := k.plug(now, func() (routesSeen, error) { return seen.routes, nil }); err != nil {
		return err
	}
	if err := k.forget(only(old, had).Guests, map[uuid.UUID]Guest{id: now}, l.log); err != nil {
		return err
	}
	return l.confirm(ctx, k, id, old, now)
}

// confirm reads one guest back.
func (l *Linux) confirm(ctx context.Context, k *kernel, id uuid.UUID, old, want Guest) error {
	seen, err := l.recall(ctx)
	if err != nil {
		return err
	}
	if err := k.lookAt(&seen, old, want); err != nil {
		return err
	}
	g, ok := seen.inForce(seen.book.guests[id])
	have := seen.linked(only(g, ok))
	return differs(Diff(have, only(want, want.UUID == id)))
}

// only is a state with one guest, or none.
func only(g Guest, there bool) State {
	if !there {
		return State{}
	}
	return State{Guests: []Guest{g}}
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
