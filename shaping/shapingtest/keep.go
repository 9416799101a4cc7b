package shapingtest

import (
	"context"
	"time"

	"github.com/xenhost/xenhost/shaping"
)

// tell wakes Keep.
func (f *Fake) tell() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// Keep implements shaping.Keeper. It refreshes when an interface was plugged
// and when a throttle ends by the clock of Options, for which it waits in real
// time or in that of testing/synctest.
func (f *Fake) Keep(ctx context.Context, opts *shaping.KeepOptions) error {
	var o shaping.KeepOptions
	if opts != nil {
		o = *opts
	}
	if o.Every == 0 {
		o.Every = time.Minute
	}
	for {
		next, err := f.Refresh(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && o.Failed != nil {
			o.Failed(err)
		}
		wait := o.Every
		if !next.IsZero() {
			wait = max(min(wait, next.Sub(f.now())), time.Millisecond)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.news:
		case <-time.After(wait):
		}
	}
}
