package guard

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/flock"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/dom0"
)

// Options of New; nil and the zero value are right for a dom0.
type Options struct {
	// Runner runs nft; nil is dom0.Local. It must run on this machine: links
	// are read by netlink.
	Runner dom0.Runner
	// NetNS is the path of the network namespace to work in, as
	// /run/netns/test; empty is the one of the process.
	NetNS string
	// LockDir holds the lock that all processes of a host share; empty is
	// /run/lock/xenhost.
	LockDir string
	// Log gets what was changed (Info); nil is silent.
	Log *slog.Logger
}

// Linux keeps the guard of the host that it runs on, by nft.
type Linux struct {
	runner dom0.Runner
	netns  string
	lock   string
	log    *slog.Logger
}

var _ Manager = (*Linux)(nil)

// patience bounds one operation, beyond the caller's own deadline.
const patience = time.Minute

// New returns the guard of this host. It needs root and touches nothing yet.
func New(opts *Options) *Linux {
	if opts == nil {
		opts = &Options{}
	}
	l := &Linux{runner: opts.Runner, netns: opts.NetNS, log: opts.Log, lock: "/run/lock/xenhost"}
	if l.runner == nil {
		l.runner = dom0.Local{Log: opts.Log}
	}
	if opts.LockDir != "" {
		l.lock = opts.LockDir
	}
	l.lock = filepath.Join(l.lock, "guard.lock")
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	return l
}

// Read implements Manager. A table that differs in any way from what we write
// is Open: nobody can tell what it lets through.
func (l *Linux) Read(ctx context.Context) (State, error) {
	seen, err := l.look(ctx)
	if err != nil {
		return State{}, &Error{Op: "read", Err: err}
	}
	return seen.state(), nil
}

// Drops implements Manager.
func (l *Linux) Drops(ctx context.Context) (Drops, error) {
	seen, err := l.look(ctx)
	if err != nil {
		return Drops{}, &Error{Op: "read drops", Err: err}
	}
	d := seen.drops
	return Drops{
		Unknown: d["drop_unknown"], MAC: d["drop_mac"], Type: d["drop_type"], ARP: d["drop_arp"], IPv4: d["drop_ipv4"], IPv6: d["drop_ipv6"],
		Neighbour: d["drop_neighbour"], DHCP: d["drop_dhcp"], Router: d["drop_router"],
	}, nil
}

// look lists the table while nobody changes it.
func (l *Linux) look(ctx context.Context) (listing, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unlock, err := flock.Wait(ctx, l.lock)
	if err != nil {
		return listing{}, err
	}
	defer unlock()
	return l.list(ctx)
}

// Apply implements Manager. Where our rules are in force already, only the
// elements that differ are changed, and the counters go on.
func (l *Linux) Apply(ctx context.Context, want State) (network.Plan, error) {
	want = want.Normalize()
	plan, err := l.change(ctx, func(State, State) (State, []Guest) { return want, want.Guests })
	if err != nil {
		return network.Plan{}, &Error{Op: "apply", Err: err}
	}
	return plan, nil
}

// Set implements Manager. Rules that were changed by somebody are put right on
// the way.
func (l *Linux) Set(ctx context.Context, want Guest) error {
	want = want.Normalize()
	_, err := l.change(ctx, func(_, recorded State) (State, []Guest) { return recorded.With(want), []Guest{want} })
	if err != nil {
		return &Error{Op: "set", Name: want.UUID.String(), Err: err}
	}
	return nil
}

// Remove implements Manager.
func (l *Linux) Remove(ctx context.Context, id uuid.UUID) error {
	_, err := l.change(ctx, func(have, recorded State) (State, []Guest) {
		if len(recorded.Guests) == 0 && have.Open {
			return have, nil // nothing of ours is there, and no need for it
		}
		return recorded.Without(id), nil
	})
	if err != nil {
		return &Error{Op: "remove", Name: id.String(), Err: err}
	}
	return nil
}

// change is the way of all changes: read, decide, refuse, write, read back.
// next gets what is in force, and what stands in the sets whether in force or
// not; it returns what should be and whose part of it is new.
func (l *Linux) change(ctx context.Context, next func(have, recorded State) (State, []Guest)) (network.Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unlock, err := flock.Wait(ctx, l.lock)
	if err != nil {
		return network.Plan{}, err
	}
	defer unlock()
	seen, err := l.list(ctx)
	if err != nil {
		return network.Plan{}, err
	}
	have := seen.state()
	want, changed := next(have, stateOf(seen.elements))
	if err := l.allowed(want, changed); err != nil {
		return network.Plan{}, err
	}
	plan := Plan(have, want)
	if plan.Empty() {
		return plan, nil
	}
	for _, s := range plan.Steps {
		l.log.Info("guard", "verb", s.Verb, "what", s.What)
	}
	if err := l.write(ctx, have, want); err != nil {
		return plan, err
	}
	if seen, err = l.list(ctx); err != nil {
		return plan, err
	}
	if left := Plan(seen.state(), want); !left.Empty() {
		s := left.Steps[0]
		return plan, fmt.Errorf("read back and not as asked: %s %s (and %d more)", s.Verb, s.What, len(left.Steps)-1)
	}
	return plan, nil
}

// allowed refuses what contradicts itself, and ports that are dom0's own.
func (l *Linux) allowed(want State, changed []Guest) error {
	if err := want.validate(); err != nil || len(changed) == 0 {
		return err
	}
	h, err := l.handle()
	if err != nil {
		return err
	}
	defer h.Close()
	own, err := survey(h)
	if err != nil {
		return err
	}
	return own.refuse(changed)
}

func (l *Linux) handle() (*netlink.Handle, error) {
	if l.netns == "" {
		return netlink.NewHandle(unix.NETLINK_ROUTE)
	}
	ns, err := netns.GetFromPath(l.netns)
	if err != nil {
		return nil, fmt.Errorf("network namespace %s: %w", l.netns, err)
	}
	defer func() { _ = ns.Close() }()
	return netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
}

// write makes the tables as want says, in one transaction. Rules that are new
// are sealed with the digest of what nft made of them, so that a later change
// of them is found whatever version of nft lists them.
func (l *Linux) write(ctx context.Context, have, want State) error {
	var script strings.Builder
	var fresh []kind
	for _, k := range kinds() {
		switch {
		case have.needs(k) && want.needs(k):
			script.WriteString(difference(k, have.of(k), want.of(k)))
		case want.needs(k):
			script.WriteString(k.whole(want.of(k)))
			fresh = append(fresh, k)
		case have.Open || have.needs(k):
			script.WriteString(k.remove())
		}
	}
	if err := l.nft(ctx, script.String()); err != nil || len(fresh) == 0 {
		return err
	}
	script.Reset()
	for _, k := range fresh {
		seen, err := l.listTable(ctx, k)
		if err != nil {
			return err
		}
		fmt.Fprintf(&script, "add element %s %s digest { 1 comment %q }\n", k, table, seen.rules[k])
	}
	return l.nft(ctx, script.String())
}

// difference deletes and adds elements; one that changes its comment is both.
// Open names go by a flush of their set, since nft 1.0.6 can not delete them.
func difference(k kind, have, want []element) string {
	var b strings.Builder
	wanted, had := setOf(want), setOf(have)
	gone := slices.DeleteFunc(slices.Clone(have), func(e element) bool { return wanted[e] })
	named := slices.DeleteFunc(slices.Clone(gone), func(e element) bool { return e.set == "ours" })
	if len(named) < len(gone) {
		fmt.Fprintf(&b, "flush set %s %s ours\n", k, table)
	}
	change(&b, "delete", named)
	change(&b, "add", slices.DeleteFunc(slices.Clone(want), func(e element) bool { return had[e] }))
	return b.String()
}
