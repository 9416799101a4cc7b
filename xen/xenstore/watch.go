package xenstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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
	// Path is the node that was written, made or removed, at or below the
	// watched one.
	Path string
	// Overflow: more changed than was kept (256 paths). Path is the watched
	// one; anything below it may have changed.
	Overflow bool
}

// Watch tells of changes at and below one path. Events wait in a queue, in
// which the same path stands once; a watch that nobody reads costs a bounded
// amount of memory and holds up nobody.
type Watch struct {
	c           *Client
	path, token string
	ring        chan struct{} // has room for one
	closed      chan struct{}
	closing     sync.Once

	mu       sync.Mutex
	queue    []string
	waiting  map[string]bool // what is in queue
	overflow bool
}

// maxQueue is how many different paths wait in a watch.
const maxQueue = 256

// Watch begins to watch a path, or IntroduceDomain or ReleaseDomain. The node
// need not be there. One event is there at once, so that the loop which reads
// events also looks a first time.
//
//	xenstore-watch PATH
func (c *Client) Watch(ctx context.Context, path string) (*Watch, error) {
	w, err := c.watch(ctx, path)
	return w, wrap("watch", path, err)
}

func (c *Client) watch(ctx context.Context, path string) (*Watch, error) {
	if path != IntroduceDomain && path != ReleaseDomain && !wire.ValidPath(path) {
		return nil, fmt.Errorf("%w: not an absolute path", ErrInvalid)
	}
	w := &Watch{c: c, path: path, ring: make(chan struct{}, 1), closed: make(chan struct{}), waiting: make(map[string]bool)}
	c.mu.Lock()
	c.tokens++
	w.token = "xenhost-" + strconv.FormatUint(c.tokens, 10)
	c.watches[w.token] = w // before the request: the first event can come with the reply
	c.mu.Unlock()
	body := wire.Join(path, w.token)
	if _, err := c.call(ctx, wire.Message{Op: wire.Watch, Body: body}, func([]byte) { _ = w.unwatch() }); err != nil {
		c.drop(w.token)
		if errors.Is(err, errTooBig) {
			err = fmt.Errorf("%w: too many watches", ErrQuota)
		}
		return nil, err
	}
	return w, nil
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
		return Event{Path: w.path, Overflow: true}, true
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
		select {
		case <-w.ring:
		case <-ctx.Done():
			return Event{}, wrap("watch", w.path, ctx.Err())
		case <-w.closed:
			return Event{}, wrap("watch", w.path, ErrClosed)
		case <-w.c.done:
			return Event{}, wrap("watch", w.path, w.c.Err())
		}
	}
}

// Close ends the watch. A second Close does nothing.
func (w *Watch) Close() (err error) {
	w.closing.Do(func() {
		close(w.closed)
		w.c.drop(w.token)
		err = w.unwatch()
	})
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrLost) {
		return nil // it ended with the connection
	}
	return wrap("unwatch", w.path, err)
}

func (w *Watch) unwatch() error {
	_, err := w.c.call(context.Background(), wire.Message{Op: wire.Unwatch, Body: wire.Join(w.path, w.token)}, nil)
	return err
}
