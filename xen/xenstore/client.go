package xenstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
)

// Client is one connection to xenstored. It is safe for concurrent use.
type Client struct {
	Nodes

	conn    io.ReadWriteCloser
	device  bool // the kernel's, which takes 4096 bytes with the header and may refuse a request by itself
	limit   time.Duration
	writing chan struct{} // held by the one who writes
	turn    chan struct{} // of a device: held by the one request that has no reply yet
	done    chan struct{} // closed when the connection has ended

	mu      sync.Mutex
	err     error // why it ended
	lastID  uint32
	open    map[uint32]*request
	watches map[string]*Watch // by token
	tokens  uint64
}

// maxOpen bounds the requests without an answer, those included whose callers
// have gone.
const maxOpen = 4096

// A request waits for its reply.
type request struct {
	op    wire.Op
	reply chan wire.Message // has room for it
	left  bool              // its caller has gone
	undo  func(body []byte) // takes back what a reply that nobody waits for has done; may be nil
}

// NewClient returns a client on a connection that speaks xenstore, as
// xenstoretest.Server.Pipe returns it; opts may be nil. Dial is for real ones.
// The connection is the client's to close. One with SetWriteDeadline, as
// net.Conn has, lets a call end in time when the other side does not read.
func NewClient(conn io.ReadWriteCloser, opts *Options) *Client { return newClient(conn, false, opts) }

func newClient(conn io.ReadWriteCloser, device bool, opts *Options) *Client {
	c := &Client{
		conn: conn, device: device, limit: 30 * time.Second, writing: make(chan struct{}, 1), turn: make(chan struct{}, 1), done: make(chan struct{}),
		open: make(map[uint32]*request), watches: make(map[string]*Watch),
	}
	if opts != nil && opts.Limit > 0 {
		c.limit = opts.Limit
	}
	c.Nodes.c = c
	go c.read()
	return c
}

// Close ends the connection and all watches.
func (c *Client) Close() error {
	c.end(ErrClosed)
	return nil
}

// Done is closed when the connection has ended; Err then says why.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns nil while the connection lives, then ErrLost with the reason, or
// ErrClosed.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Client) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = why
	close(c.done)
	_ = c.conn.Close() // nothing waits in it: writes have returned or fail now
}

func (c *Client) lose(why error) { c.end(fmt.Errorf("%w: %w", ErrLost, why)) }

// read takes what xenstored sends. It waits for nobody.
func (c *Client) read() {
	from := bufio.NewReaderSize(c.conn, wire.HeaderSize+wire.MaxBody)
	for {
		m, err := wire.Next(from)
		if err != nil {
			c.lose(err)
			return
		}
		if m.Op == wire.Event {
			c.event(m.Body)
		} else {
			c.answer(m)
		}
	}
}

// answer hands a reply to its caller.
func (c *Client) answer(m wire.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.open[m.ID]
	if r == nil {
		return
	}
	delete(c.open, m.ID)
	c.next()
	if !r.left {
		r.reply <- m
	} else if r.undo != nil && m.Op == r.op {
		go r.undo(m.Body) // it calls xenstored, which this goroutine must not wait for
	}
}

// call sends a request and waits for its reply. When ctx or the limit ends
// first, undo is called with the body of a good reply that comes later.
func (c *Client) call(ctx context.Context, m wire.Message, undo func(body []byte)) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limit := wire.MaxBody
	if c.device {
		limit -= wire.HeaderSize
	}
	if len(m.Body) > limit {
		return nil, fmt.Errorf("%w: a request of %d bytes, %d at most", ErrInvalid, len(m.Body), limit)
	}
	limited, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	if err := c.wait(limited); err != nil {
		return nil, c.late(ctx, err)
	}
	r := &request{op: m.Op, reply: make(chan wire.Message, 1), undo: undo}
	id, err := c.enlist(r)
	if err != nil {
		c.next()
		return nil, err
	}
	m.ID = id
	if err := c.send(limited, m); err != nil {
		c.forget(id) // it has no reply
		return nil, c.late(ctx, err)
	}
	select {
	case reply := <-r.reply:
		return r.result(reply)
	case <-c.done:
		err = c.Err()
	case <-limited.Done():
		err = c.late(ctx, limited.Err())
	}
	if c.leave(id, r) {
		return nil, err
	}
	return r.result(<-r.reply) // it came in the last moment
}

func (c *Client) enlist(r *request) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return 0, c.err
	case len(c.open) >= maxOpen:
		return 0, fmt.Errorf("xenstored owes %d answers already", maxOpen)
	}
	for c.lastID++; c.lastID == 0 || c.open[c.lastID] != nil; c.lastID++ {
	}
	c.open[c.lastID] = r
	return c.lastID, nil
}

// leave reports whether the reply has not come yet; nobody waits for it then.
func (c *Client) leave(id uint32, r *request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[id] != r {
		return false
	}
	r.left = true
	return true
}

// forget drops a request that was not sent.
func (c *Client) forget(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[id] != nil {
		delete(c.open, id)
		c.next()
	}
}

// wait takes the turn of a device. With several requests under way Linux 6.1
// was seen to hand out one's reply as the answer to another.
func (c *Client) wait(ctx context.Context) error {
	if !c.device {
		return nil
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return c.Err()
	}
}

// next gives the turn of a device on.
func (c *Client) next() {
	if c.device {
		<-c.turn
	}
}

// late says whose deadline it was.
func (c *Client) late(ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("xenstored has not answered for %v: %w", c.limit, err)
	}
	return err
}

func (r *request) result(m wire.Message) ([]byte, error) {
	switch m.Op {
	case r.op:
		return m.Body, nil
	case wire.Error:
		words, ok := wire.Split(m.Body)
		if !ok || len(words) != 1 {
			return nil, fmt.Errorf("xenstored answers with the error %q", m.Body[:min(len(m.Body), 64)])
		}
		return nil, meaning(words[0])
	}
	return nil, fmt.Errorf("xenstored answers request %d with a message of type %d", r.op, m.Op)
}
