package events

import (
	"context"
	"log/slog"
	"time"

	"github.com/xenhost/xenhost/xen"
)

// Bell rings when domains may have come, gone or shut down.
type Bell interface {
	// Wait returns nil when it may be so, also when nothing happened, and
	// ctx's error when ctx ends. One caller at a time.
	Wait(ctx context.Context) error
}

// Options of Watch; the zero value is right for most hosts.
type Options struct {
	// Settle is how long at least there is between two looks at the list; 0
	// is 50 ms. A look follows the bell at once, and one more after Settle.
	Settle time.Duration
	// Relist is how often to look although the bell is silent; 0 is a minute.
	Relist time.Duration
	// Log gets a warning when the list can not be read; nil is silent.
	Log *slog.Logger
}

// Watch calls handle for each event, one at a time, until ctx ends, and returns
// ctx's error. It begins with a Found for each domain that is there. A list
// that can not be read is tried again after Settle, and at last with the next
// ring or Relist.
func Watch(ctx context.Context, lister xen.Lister, bell Bell, opts *Options, handle func(Event)) error {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.Settle == 0 {
		o.Settle = 50 * time.Millisecond
	}
	if o.Relist == 0 {
		o.Relist = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	var seen tracker
	for {
		for range 2 { // at once, and when what began has settled
			if list, err := lister.List(ctx); err == nil {
				for _, e := range seen.update(list, time.Now()) {
					handle(e)
				}
			} else if ctx.Err() == nil {
				o.Log.WarnContext(ctx, "domains can not be listed", "error", err)
			}
			if err := pause(ctx, o.Settle); err != nil {
				return err
			}
		}
		quiet, cancel := context.WithTimeout(ctx, o.Relist)
		_ = bell.Wait(quiet) // whatever it says, the next thing is to look
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Every is a bell that rings again and again: for hosts without xenstore, as
// xentest.Fake is one, and for whom polling is good enough.
type Every time.Duration

// Wait implements Bell.
func (e Every) Wait(ctx context.Context) error { return pause(ctx, time.Duration(e)) }
