package shaping

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Keeper is a manager that stays to keep its word: Linux.
type Keeper interface {
	Manager
	Keep(ctx context.Context, opts *KeepOptions) error
}

var _ Keeper = (*Linux)(nil)

// KeepOptions changes how Keep works; nil is right for a dom0.
type KeepOptions struct {
	// Failed is told when a refresh fails, as when somebody else's queue stands
	// on a vif; Keep goes on. nil logs it with the manager's logger.
	Failed func(error)
	// Every is how often it looks even when nothing seems to happen; 0 is a
	// minute.
	Every time.Duration
}

// calm is how long Keep lets interfaces settle: a starting domain makes a
// handful of events.
const calm = 5 * time.Millisecond

// Keep refreshes when interfaces come and go and when a throttle ends, until
// the context ends; that is its error then. One a host is enough.
func (l *Linux) Keep(ctx context.Context, opts *KeepOptions) error {
	var o KeepOptions
	if opts != nil {
		o = *opts
	}
	if o.Failed == nil {
		o.Failed = func(err error) { l.log.Error("shaping", "err", err) }
	}
	if o.Every == 0 {
		o.Every = time.Minute
	}
	socket, err := l.subscribe()
	if err != nil {
		return &Error{Op: "keep", Err: err}
	}
	var ear sync.WaitGroup
	changed, deaf := make(chan struct{}, 1), make(chan error, 1)
	ear.Go(func() { deaf <- listen(socket, changed) })
	defer ear.Wait()
	defer socket.Close()
	for {
		next, err := l.Refresh(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			o.Failed(err)
		}
		wait := o.Every
		if !next.IsZero() {
			wait = max(min(wait, next.Sub(l.now())), calm)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-deaf:
			return &Error{Op: "keep", Err: err}
		case <-time.After(wait):
		case <-changed:
			time.Sleep(calm)
			select {
			case <-changed:
			default:
			}
		}
	}
}

// subscribe opens a socket on which the kernel tells of interfaces that come,
// go and are renamed.
func (l *Linux) subscribe() (*nl.NetlinkSocket, error) {
	space := netns.None()
	if l.netns != "" {
		var err error
		if space, err = netns.GetFromPath(l.netns); err != nil {
			return nil, fmt.Errorf("network namespace %s: %w", l.netns, err)
		}
		defer space.Close()
	}
	return nl.SubscribeAt(space, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
}

// listen says on changed that there was news, until the socket is closed. When
// there was more than the socket holds, that is news too.
func listen(socket *nl.NetlinkSocket, changed chan<- struct{}) error {
	for {
		if _, _, err := socket.Receive(); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}
