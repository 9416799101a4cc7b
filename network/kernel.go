package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A kernel is the netlink side of one operation, in the right namespace.
type kernel struct {
	*netlink.Handle
}

// do runs one operation: alone on this host, within its patience, in the
// namespace. Its commands inherit the namespace from the thread, so the thread
// is the operation's own and ends with it.
func (l *Linux) do(ctx context.Context, work func(context.Context, *kernel) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unlock, err := lock(ctx, filepath.Join(l.lockDir, "network.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	done := make(chan error, 1)
	go func() {
		if l.netns != "" {
			runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
			if err := enter(l.netns); err != nil {
				done <- err
				return
			}
		}
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
		if err != nil {
			done <- err
			return
		}
		defer h.Close()
		if err := l.checkVariant(ctx); err != nil {
			done <- err
			return
		}
		done <- work(ctx, &kernel{h})
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

// lock takes the lock file, which the kernel frees when its holder ends in any
// way. It keeps goroutines apart as well as processes, because each call opens
// the file anew.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, ctx.Err())
		case <-poll.C:
		}
	}
}
