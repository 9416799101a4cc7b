package lvm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/durable"
	"github.com/xenhost/xenhost/xen/dom0"
)

// withMetadata sets a copy of the pool's metadata aside in the kernel while do
// reads it from the device.
//
// There is one such copy a pool, it outlives the process that asked for it, and
// even a power failure; while it is there the pool frees none of its blocks. So
// a note on the disk says that a copy is ours, from before it is made until it
// is gone; the note's lock says whether the one who wrote it is alive.
func (c *Client) withMetadata(ctx context.Context, pool ID, do func(device string) error) (err error) {
	note, err := c.note(ctx, pool)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, note.Close()) }()
	state, err := c.poolState(ctx, pool)
	switch {
	case err != nil:
		return err
	case state.held && !note.ours:
		return fmt.Errorf("%w: somebody reads the metadata of pool %s; if nobody does: dmsetup message %s 0 release_metadata_snap",
			ErrBusy, pool, state.device)
	case state.held: // by one that was killed
		if err := c.message(ctx, state.device, "release_metadata_snap"); err != nil {
			return err
		}
		c.options.Log.WarnContext(ctx, "lvm: released what a killed process read of a pool's metadata", "pool", pool.String())
	}
	if err := note.write(true); err != nil {
		return err
	}
	if err := c.message(ctx, state.device, "reserve_metadata_snap"); err != nil {
		return c.unreserved(ctx, pool, state.device, note, err)
	}
	defer func() { err = errors.Join(err, c.release(ctx, pool, state.device, note)) }()
	return do(c.mapperPath(pool, "_tmeta"))
}

// unreserved says why a copy could not be set aside. If another one was faster
// the note says what it did before: that may be the last command of one that was
// killed.
func (c *Client) unreserved(ctx context.Context, pool ID, device string, note *note, ran error) error {
	if failure, ok := errors.AsType[*dom0.Error](ran); !ok || failure.ExitCode < 1 {
		return errors.Join(ran, c.release(ctx, pool, device, note)) // it may have done its work
	}
	if now, err := c.poolState(ctx, pool); err == nil && now.held {
		ran = fmt.Errorf("%w: %w", ErrBusy, ran)
	}
	return errors.Join(ran, note.write(note.ours))
}

// release is done also after ctx has ended. The note stays while the copy does.
func (c *Client) release(ctx context.Context, pool ID, device string, note *note) error {
	ctx = context.WithoutCancel(ctx)
	state, err := c.poolState(ctx, pool)
	if err != nil {
		return err
	}
	if state.held {
		if err := c.message(ctx, device, "release_metadata_snap"); err != nil {
			return err
		}
	}
	return note.write(false)
}

// message talks to a pool.
func (c *Client) message(ctx context.Context, device, text string) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	return c.runner.Run(ctx, dom0.Cmd{Args: []string{"dmsetup", "message", device, "0", text}, NoKill: true})
}

// note is the file that says that a pool's copy of its metadata is ours.
type note struct {
	file *os.File
	ours bool
}

// note opens and locks it; it waits for another one until ctx ends.
func (c *Client) note(ctx context.Context, pool ID) (*note, error) {
	if err := durable.MkdirAll(c.options.StateDir); err != nil {
		return nil, err
	}
	path := filepath.Join(c.options.StateDir, mapperName(pool, ".metadata"))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = pause(ctx, 20*time.Millisecond)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
		}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &note{file: f, ours: info.Size() > 0}, nil
}

// write has it on the disk when it returns.
func (n *note) write(ours bool) error {
	size := int64(0)
	if ours {
		size = 1
	}
	if err := n.file.Truncate(size); err != nil {
		return err
	}
	return n.file.Sync()
}

// Close ends the lock.
func (n *note) Close() error { return n.file.Close() }
