package network

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/flock"
)

// A kernel is the netlink side of one operation, in the right namespace.
type kernel struct {
	*netlink.Handle
}

// do runs one operation: alone on this host, in the namespace, on the firewall
// that is chosen.
func (l *Linux) do(ctx context.Context, work func(context.Context, *kernel) error) error {
	return l.inside(ctx, func(ctx context.Context) error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
		if err != nil {
			return err
		}
		defer h.Close()
		if err := l.choose(ctx); err != nil {
			return err
		}
		return work(ctx, &kernel{h})
	})
}

// inside runs f alone on this host, within the patience of an operation, in the
// namespace. Its commands inherit the namespace from the thread, so the thread
// is the operation's own and ends with it.
func (l *Linux) inside(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unlock, err := flock.Wait(ctx, filepath.Join(l.lockDir, "network.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		if l.netns != "" {
			runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
			if err := enter(l.netns); err != nil {
				done <- err
				return
			}
		}
		done <- f(ctx)
	}()
	return <-done
}

func enter(path string) error {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", path, err)
	}
	defer func() { _ = ns.Close() }()
	if err := netns.Set(ns); err != nil {
		return fmt.Errorf("network namespace %s: %w", path, err)
	}
	return nil
}
