package shaping

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/flock"
)

// A kernel is what one operation talks to: queues and links on one socket, the
// maps of nftables on the other.
type kernel struct {
	route, nft *conn
}

// patience bounds how long an operation waits for its turn, beyond the
// caller's own deadline.
const patience = time.Minute

// do runs one operation, alone on this host.
func (l *Linux) do(ctx context.Context, work func(*kernel) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return err
	}
	release, err := flock.Acquire(ctx, filepath.Join(l.lockDir, "shaping.lock"))
	if err != nil {
		return err
	}
	defer release()
	space := netns.None()
	if l.netns != "" {
		if space, err = netns.GetFromPath(l.netns); err != nil {
			return fmt.Errorf("network namespace %s: %w", l.netns, err)
		}
		defer space.Close()
	}
	k := &kernel{}
	if k.route, err = dial(space, unix.NETLINK_ROUTE); err != nil {
		return err
	}
	defer k.route.close()
	if k.nft, err = dial(space, unix.NETLINK_NETFILTER); err != nil {
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			err = fmt.Errorf("this kernel has no nftables: %w", errors.ErrUnsupported)
		}
		return err
	}
	defer k.nft.close()
	return work(k)
}
