package diskrate

import (
	"context"
	"time"
)

// Keeper is a manager that stays to keep its word: Linux.
type Keeper interface {
	Manager
	Keep(ctx context.Context, opts *KeepOptions) error
}

var _ Keeper = (*Linux)(nil)

// KeepOptions changes how Keep works; nil is right for a dom0.
type KeepOptions struct {
	// Failed is told when a refresh fails; Keep goes on. nil logs it with the
	// manager's logger.
	Failed func(error)
	// Every is how often it looks for new threads; 0 is a second.
	Every time.Duration
}

// Keep refreshes again and again until the context ends; that is its error
// then. One a host is enough.
func (l *Linux) Keep(ctx context.Context, opts *KeepOptions) error {
	var o KeepOptions
	if opts != nil {
		o = *opts
	}
	if o.Failed == nil {
		o.Failed = func(err error) { l.log.Error("disk rate", "err", err) }
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	tick := time.NewTicker(o.Every)
	defer tick.Stop()
	for {
		if err := l.Refresh(ctx); err != nil && ctx.Err() == nil {
			o.Failed(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
