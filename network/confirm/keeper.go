package confirm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/flock"
	"github.com/xenhost/xenhost/xen/dom0"
)

// keepers are the places of the two processes of which either is enough. Each
// holds the lock of its place as long as it lives, by which others see it.
func keepers() []string { return []string{"keeper-1.lock", "keeper-2.lock"} }

// startKeepers returns when both run. Each is started by setsid(1), so that it
// is a child of nobody and no terminal's end reaches it.
func (c *Changer) startKeepers(ctx context.Context) error {
	for range keepers() {
		argv := append([]string{"setsid", "--fork"}, c.keeper...)
		if err := c.runner.Run(ctx, dom0.Cmd{Args: argv}); err != nil {
			return fmt.Errorf("start a keeper: %w", err)
		}
	}
	return c.awaitKeepers(ctx, true)
}

// awaitKeepers waits until both run, or those of the change before have left.
func (c *Changer) awaitKeepers(ctx context.Context, run bool) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for _, place := range keepers() {
		for {
			is, err := held(filepath.Join(c.dir, place))
			if err != nil {
				return err
			}
			if is == run {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("keepers %v: running: %t, wanted: %t: %w", c.keeper, is, run, ctx.Err())
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	return nil
}

// held reports whether somebody holds a lock.
func held(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// Keep is all that a keeper process does: it waits until the pending change is
// confirmed or gone, and takes it back when its time is over, or when SIGTERM
// or ctx ends the wait. It returns when the network is in order, and does not
// give up before. The process's stdin, stdout and stderr are closed.
func (c *Changer) Keep(ctx context.Context) error {
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM)
	defer stop()
	if err := letGo(); err != nil {
		return failed("keep", err)
	}
	return failed("keep", c.keep(ctx))
}

// letGo points the standard streams to nowhere: who started us waits for their
// end.
func letGo() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	return nil
}

func (c *Changer) keep(ctx context.Context) error {
	p, err := c.readPending()
	if err != nil {
		return err
	}
	leave, err := c.takePlace(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if !c.await(ctx, p) {
		return nil
	}
	for {
		err := c.endOf(p)
		if err == nil {
			return nil
		}
		c.log.Error("take back", "change", p.ID, "err", err)
		time.Sleep(time.Second)
	}
}

// takePlace holds the lock of the first place that is free. A keeper of the
// change before may be about to leave it.
func (c *Changer) takePlace(ctx context.Context) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		for _, place := range keepers() {
			short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			leave, err = flock.Wait(short, filepath.Join(c.dir, place))
			cancel()
			if err == nil || ctx.Err() != nil {
				return leave, err
			}
		}
	}
}

// await returns false when p is confirmed or gone, and true when its time is
// over or ctx ends. The file is what counts: its deadline may be moved.
func (c *Changer) await(ctx context.Context, p pendingFile) bool {
	for {
		now, err := c.readPending()
		if errors.Is(err, fs.ErrNotExist) || err == nil && now.ID != p.ID {
			return false
		}
		if err == nil {
			p = now
		}
		left, err := c.left(p)
		if err != nil || left.Left <= 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return true
		case <-time.After(min(left.Left, 50*time.Millisecond)):
		}
	}
}

// endOf takes p back, unless it is confirmed or gone. A caller that hangs while
// it holds the lock is not waited for: the managers have locks of their own.
func (c *Changer) endOf(p pendingFile) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	unlock, err := c.hold(ctx)
	if err == nil {
		defer unlock()
	} else if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	now, err := c.readPending()
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && now.ID != p.ID:
		return nil
	case err != nil:
		return c.takeBack(context.Background(), p) // the file is damaged; we have what was in it
	}
	return c.takeBack(context.Background(), p)
}
