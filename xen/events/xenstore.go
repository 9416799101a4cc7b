package events

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/xenhost/xenhost/xen/xenstore"
)

// XenstoreOptions of a bell; nil is right for a dom0.
type XenstoreOptions struct {
	// Dial connects to xenstored; nil is xenstore.Dial with its defaults.
	Dial func(ctx context.Context) (*xenstore.Client, error)
	// Retry is the pause between two attempts to connect; 0 is a second.
	Retry time.Duration
	// Log gets a warning when xenstored can not be reached; nil is silent.
	Log *slog.Logger
}

// XenstoreBell rings when xenstored says that a domain was introduced or
// released. It connects when it is first waited for, and again whenever the
// connection was lost; it rings then, since something may have been missed.
type XenstoreBell struct {
	opts XenstoreOptions

	mu     sync.Mutex
	client *xenstore.Client // nil: not connected
	watch  *xenstore.Watch
	warned bool // of what keeps it from connecting
}

// Xenstore returns a bell; nothing is connected yet.
func Xenstore(opts *XenstoreOptions) *XenstoreBell {
	b := &XenstoreBell{}
	if opts != nil {
		b.opts = *opts
	}
	if b.opts.Dial == nil {
		b.opts.Dial = func(ctx context.Context) (*xenstore.Client, error) { return xenstore.Dial(ctx, nil) }
	}
	if b.opts.Retry == 0 {
		b.opts.Retry = time.Second
	}
	if b.opts.Log == nil {
		b.opts.Log = slog.New(slog.DiscardHandler)
	}
	return b
}

// Wait implements Bell. While xenstored can not be reached it waits.
func (b *XenstoreBell) Wait(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ctx.Err() == nil {
		if b.watch != nil {
			_, err := b.watch.Next(ctx)
			if err == nil || ctx.Err() != nil {
				return err
			}
			b.drop(err)
		}
		if err := b.connect(ctx); err != nil {
			b.drop(err)
			_ = pause(ctx, b.opts.Retry)
		} // else the watch has its first events
	}
	return ctx.Err()
}

// connect needs b.mu.
func (b *XenstoreBell) connect(ctx context.Context) (err error) {
	if b.client, err = b.opts.Dial(ctx); err != nil {
		b.client = nil
		return err
	}
	if b.watch, err = b.client.Watch(ctx, xenstore.IntroduceDomain, xenstore.ReleaseDomain); err != nil {
		return err
	}
	b.warned = false
	return nil
}

// drop ends the connection; it needs b.mu.
func (b *XenstoreBell) drop(why error) {
	if !b.warned {
		b.opts.Log.Warn("xenstored is not there; it is tried again and again", "error", why)
	}
	b.warned = true
	if b.client != nil {
		_ = b.client.Close() // it is lost in any case
	}
	b.client, b.watch = nil, nil
}

// Close ends the connection. It waits for a Wait that is under way.
func (b *XenstoreBell) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.client == nil {
		return nil
	}
	err := b.client.Close()
	b.client, b.watch = nil, nil
	return err
}
