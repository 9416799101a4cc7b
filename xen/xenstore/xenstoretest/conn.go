package xenstoretest

import (
	"net"
	"slices"
	"sync"

	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
)

// conn is one connection. Server.mu guards all but the queue.
type conn struct {
	net.Conn
	domid   int
	watches []watch
	txs     map[uint32]*transaction

	mu    sync.Mutex
	more  sync.Cond
	queue [][]byte // what is to be sent; a client that does not read holds up nobody
	over  bool
}

type watch struct {
	path, token string
	relative    string // what to cut off the paths of events; "" of an absolute watch
}

func (s *Server) serve(to net.Conn, domid int) {
	c := &conn{Conn: to, domid: domid, txs: make(map[uint32]*transaction)}
	c.more.L = &c.mu
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	go c.write()
	go func() {
		for {
			m, err := wire.Next(c)
			if err != nil {
				break
			}
			s.wait()
			if !s.handle(c, m) {
				break
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(c)
	}()
}

// wait returns when the server does not hang.
func (s *Server) wait() {
	s.mu.Lock()
	hang := s.hang
	s.mu.Unlock()
	<-hang
}

// drop needs s.mu and may be called twice.
func (s *Server) drop(c *conn) {
	s.conns = slices.DeleteFunc(s.conns, func(other *conn) bool { return other == c })
	c.watches, c.txs = nil, nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.more.Signal()
	_ = c.Close()
}

// send queues a message.
func (c *conn) send(m wire.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, m.Append(nil))
	c.more.Signal()
}

func (c *conn) write() {
	for {
		c.mu.Lock()
		for len(c.queue) == 0 && !c.over {
			c.more.Wait()
		}
		if c.over {
			c.mu.Unlock()
			return
		}
		b := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()
		if _, err := c.Conn.Write(b); err != nil {
			return // the reader ends too, and drops the connection
		}
	}
}
