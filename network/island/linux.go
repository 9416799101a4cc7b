package island

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"runtime"
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
	// are changed by netlink.
	Runner dom0.Runner
	// Transit is where islands with a way out get two addresses each from; it
	// must be used nowhere else. The zero Prefix is 198.18.0.0/16, which is
	// for tests of networks (RFC 2544) and routed by nobody.
	Transit netip.Prefix
	// NetNS is the path of the network namespace that stands for dom0; empty is
	// the one of the process.
	NetNS string
	// LockDir holds the lock that all processes of a host share; empty is
	// /run/lock/xenhost.
	LockDir string
	// Log gets what was changed (Info); nil is silent.
	Log *slog.Logger
}

// Linux keeps the islands of the host that it runs on.
type Linux struct {
	runner  dom0.Runner
	transit netip.Prefix
	netns   string
	lock    string
	log     *slog.Logger
}

var _ Manager = (*Linux)(nil)

// patience bounds one operation, beyond the caller's own deadline.
const patience = time.Minute

// New returns the manager of this host's islands. It needs root, nft 1.0.6 or
// newer and a kernel with network namespaces, and touches nothing yet.
func New(opts *Options) *Linux {
	if opts == nil {
		opts = &Options{}
	}
	l := &Linux{runner: opts.Runner, transit: opts.Transit, netns: opts.NetNS, lock: opts.LockDir, log: opts.Log}
	if l.runner == nil {
		l.runner = dom0.Local{Log: opts.Log}
	}
	if !l.transit.IsValid() {
		l.transit = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 0, 0}), 16)
	}
	if l.lock == "" {
		l.lock = "/run/lock/xenhost"
	}
	l.lock = filepath.Join(l.lock, "island.lock")
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	return l
}

// Set implements Manager. What differs is made anew: the router first, while
// the bridges and what is plugged into them stay.
func (l *Linux) Set(ctx context.Context, want Island) error {
	err := want.validate()
	if err == nil {
		err = l.alone(ctx, func(ctx context.Context, h *netlink.Handle) error { return l.set(ctx, h, want) })
	}
	if err != nil {
		return &Error{Op: "set", Name: want.UUID.String(), Err: err}
	}
	return nil
}

func (l *Linux) set(ctx context.Context, h *netlink.Handle, want Island) error {
	seen, err := l.look(h, want.UUID)
	if err != nil {
		return err
	}
	if err := l.mayMake(seen, want); err != nil {
		return err
	}
	if seen.complete(want) && l.rulesHold(ctx, want) {
		return nil
	}
	if err := l.clear(h, seen, want); err != nil {
		return err
	}
	if err := l.writeRules(ctx, want); err != nil { // before there is anything to let through
		return err
	}
	if err := l.build(ctx, h, want); err != nil {
		return err
	}
	if seen, err = l.look(h, want.UUID); err != nil {
		return err
	}
	if !seen.complete(want) || !l.rulesHold(ctx, want) {
		return errors.New("read back and not as asked")
	}
	l.log.Info("island made", "guest", want.UUID, "out", want.Out)
	return nil
}

// Remove implements Manager. A vif that is still there stays, on no bridge.
func (l *Linux) Remove(ctx context.Context, id uuid.UUID) error {
	err := l.alone(ctx, func(ctx context.Context, h *netlink.Handle) error { return l.remove(ctx, h, id) })
	if err != nil {
		return &Error{Op: "remove", Name: id.String(), Err: err}
	}
	return nil
}

func (l *Linux) remove(ctx context.Context, h *netlink.Handle, id uuid.UUID) error {
	seen, err := l.look(h, id)
	if err != nil || seen.nothing() {
		return err
	}
	if err := l.clear(h, seen, Island{UUID: id}); err != nil {
		return err
	}
	if seen, err = l.look(h, id); err != nil {
		return err
	}
	if !seen.nothing() {
		return errors.New("something of it is still there")
	}
	l.log.Info("island removed", "guest", id)
	return l.dropRules(ctx, id, !seen.others)
}

// List implements Manager.
func (l *Linux) List(ctx context.Context) (all []uuid.UUID, err error) {
	err = l.alone(ctx, func(_ context.Context, h *netlink.Handle) error {
		seen, err := l.look(h, uuid.Nil)
		all = seen.all
		return err
	})
	if err != nil {
		return nil, &Error{Op: "list", Err: err}
	}
	return all, nil
}

// mayMake refuses what stands in the way and is not ours.
func (l *Linux) mayMake(seen seen, want Island) error {
	if want.Out != "" && !seen.links[want.Out] {
		return notThere(want.Out)
	}
	for _, name := range names(want) {
		if seen.links[name] && seen.parts[name] == "" {
			return fmt.Errorf("%s: %w", name, network.ErrForeign)
		}
	}
	return nil
}

// alone runs f alone on this host, in dom0's namespace. The thread is the
// operation's own and ends with it.
func (l *Linux) alone(ctx context.Context, f func(context.Context, *netlink.Handle) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unlock, err := flock.Wait(ctx, l.lock)
	if err != nil {
		return err
	}
	defer unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return inside(l.netns, func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		return f(ctx, h)
	})
}

// inside calls f on a thread of a namespace; "" is the one of the process.
func inside(path string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		if path != "" {
			runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
			ns, err := netns.GetFromPath(path)
			if err != nil {
				done <- fmt.Errorf("network namespace %s: %w", path, err)
				return
			}
			err = netns.Set(ns)
			_ = ns.Close()
			if err != nil {
				done <- fmt.Errorf("network namespace %s: %w", path, err)
				return
			}
		}
		done <- f()
	}()
	return <-done
}
