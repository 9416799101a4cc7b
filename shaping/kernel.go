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
	last       *record // that was read or made; nil before
}

// patience bounds how long an operation waits for its turn, beyond the
// caller's own deadline.
const patience = time.Minute

// do runs one operation, alone on this host. The sockets stay open for the
// next one: to close one that changed nftables takes longer than most
// operations. After an error they are opened anew, so that no late answer is
// taken for that of another question.
func (l *Linux) do(ctx context.Context, work func(*kernel) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return err
	}
	release, err := flock.Wait(ctx, filepath.Join(l.lockDir, "shaping.lock"))
	if err != nil {
		return err
	}
	defer release()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kernel == nil {
		if l.kernel, err = open(l.netns); err != nil {
			return err
		}
	}
	if err = work(l.kernel); err != nil {
		l.kernel.close()
		l.kernel = nil
	}
	return err
}

func open(path string) (*kernel, error) {
	space := netns.None()
	if path != "" {
		var err error
		if space, err = netns.GetFromPath(path); err != nil {
			return nil, fmt.Errorf("network namespace %s: %w", path, err)
		}
		defer space.Close()
	}
	route, err := dial(space, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	nft, err := dial(space, unix.NETLINK_NETFILTER)
	if err != nil {
		route.close()
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			err = fmt.Errorf("this kernel has no nftables: %w", errors.ErrUnsupported)
		}
		return nil, err
	}
	return &kernel{route: route, nft: nft}, nil
}

func (k *kernel) close() {
	k.route.close()
	k.nft.close()
}
