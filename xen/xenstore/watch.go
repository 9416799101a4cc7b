package xenstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
)

// The two special things to watch.
const (
	// IntroduceDomain changes when a domain was connected to xenstored.
	IntroduceDomain = "@introduceDomain"
	// ReleaseDomain changes when a domain shut down, for whatever reason, a
	// suspend included, and when it is gone. It does not say which one.
	ReleaseDomain = "@releaseDomain"
)

// Event says that something may have changed: look.
type Event struct {
	// Path is the node that was written, made or removed, at or below a
	// watched one.
	Path string
	// Overflow: more changed than was kept (256 paths). Path is empty;
	// anything that is watched may have changed.
	Overflow bool
}

// Watch tells of changes at and below some paths. Events wait in a queue, in
// which the same path stands once; a watch that nobody reads costs a bounded
// amount of memory and holds up nobody.
type Watch struct {
	c       *Client
	paths   []string
	token   string
	ring    chan struct{} // has room for one
	closed  chan struct{}
	closing sync.Once

	mu       sync.Mutex
	queue    []string
	waiting  map[string]bool // what is in queue
	overflow bool
}

// maxQueue is how many different paths wait in a watch.
const maxQueue = 256

// Watch begins to watch paths, or IntroduceDomain or ReleaseDomain. The nodes
// need not be there. One event a path is there at once, so that the loop which
// reads events also looks a first time.
//
//	xenstore-watch PATH...
func (c *Client) Watch(ctx context.Context, paths ...string) (*Watch, error) {
	if len(paths) == 0 {
		return nil, wrap("watch", "", fmt.Errorf("%w: nothing to watch", ErrInvalid))
	}
	w := &Watch{c: c, paths: slices.Clone(paths), ring: make(chan struct{}, 1), closed: make(chan struct{}), waiting: make(map[string]bool)}
	for _, path := range paths {
		if path != IntroduceDomain && path != ReleaseDomain && !wire.ValidPath(path) {
			return nil, wrap("watch", path, fmt.Errorf("%w: not an absolute path", ErrInvalid))
		}
	}
	c.mu.Lock()
	c.tokens++
	w.token = "xenhost-" + strconv.FormatUint(c.tokens, 10)
	c.watches[w.token] = w // before the request: the first event can come with the reply
	c.mu.Unlock()
	for i, path := range paths {
		if err := w.begin(ctx, path); err != nil {
			c.drop(w.token)
			for _, begun := range paths[:i] {
				_ = w.unwatch(begun)
			}
			return nil, wrap("watch", path, err)
		}
	}
	return w, nil
}

func (w *Watch) begin(ctx context.Context, path string) error {
	_, err := w.c.call(ctx, wire.Message{Op: wire.Watch, Body: wire.Join(path, w.token)}, func([]byte) { _ = w.unwatch(path) })
	if errors.Is(err, errTooBig) {
		return fmt.Errorf("%w: too many watches", ErrQuota)
	}
	return err
}

func (c *Client) drop(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watches, token)
}

// event puts an event into its watch's queue.
func (c *Client) event(body []byte) {
	words, ok := wire.Split(body)
	if !ok || len(words) != 2 {
		c.lose(fmt.Errorf("an event %q", body[:min(len(body), 64)]))
		return
	}
	c.mu.Lock()
	w := c.watches[words[1]]
	c.mu.Unlock()
	if w != nil {
		w.put(words[0])
	}
}

func (w *Watch) put(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.overflow || w.waiting[path]:
	case len(w.queue) >= maxQueue:
		w.queue, w.overflow = nil, true
		clear(w.waiting)
	default:
		w.queue = append(w.queue, path)
		w.waiting[path] = true
	}
	w.wake()
}

func (w *Watch) wake() {
	select {
	case w.ring <- struct{}{}:
	default:
	}
}

// take returns the oldest event, if there is one.
func (w *Watch) take() (Event, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.overflow {
		w.overflow = false
		return Event{Overflow: true}, true
	}
	if len(w.queue) == 0 {
		return Event{}, false
	}
	path := w.queue[0]
	w.queue = w.queue[1:]
	delete(w.waiting, path)
	if len(w.queue) > 0 {
		w.wake() // for another reader
	}
	return Event{Path: path}, true
}

// Next waits for the next event. Errors: ctx's, ErrClosed, or ErrLost: events
// may be missing; Dial, Watch and look again.
func (w *Watch) Next(ctx context.Context) (Event, error) {
	for {
		if e, ok := w.take(); ok {
			return e, nil
		}
		var err error
		select {
		case <-w.ring:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-w.closed:
			err = ErrClosed
		case <-w.c.done:
			err = w.c.Err()
		}
		return Event{}, wrap("watch", w.name(), err)
	}
}

// Close ends the watch. A second Close does nothing.
func (w *Watch) Close() (err error) {
	w.closing.Do(func() {
		close(w.closed)
		w.c.drop(w.token)
		for _, path := range w.paths {
			err = errors.Join(err, w.unwatch(path))
		}
	})
	if w.c.Err() != nil {
		return nil // it ended with the connection
	}
	return wrap("unwatch", w.name(), err)
}

// name is what errors call the watch.
func (w *Watch) name() string { return strings.Join(w.paths, " ") }

func (w *Watch) unwatch(path string) error {
	_, err := w.c.call(context.Background(), wire.Message{Op: wire.Unwatch, Body: wire.Join(path, w.token)}, nil)
	return err
}
