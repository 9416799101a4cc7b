package xenstoretest

import (
	"fmt"
	"strconv"

	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
)

// handle answers one request; false: the connection is to end.
func (s *Server) handle(c *conn, m wire.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.txs == nil {
		return false // dropped meanwhile
	}
	body, err := s.do(c, m)
	switch {
	case err != nil:
		m.Op = wire.Error
		reply(c, m, wire.Join(err.Error()))
	case body != nil:
		reply(c, m, body)
	}
	return true
}

func reply(c *conn, m wire.Message, body []byte) {
	m.Body = body
	c.send(m)
}

// do returns the body of the reply; nil: it was sent already.
func (s *Server) do(c *conn, m wire.Message) ([]byte, error) {
	ok := []byte("OK\x00")
	words, whole := wire.Split(m.Body)
	if m.Op == wire.Write { // its value ends without a NUL
		return ok, s.onNodes(c, m, func(r request) error { return r.write() })
	}
	if !whole {
		if m.Op == wire.Read || m.Op == wire.Directory {
			return nil, errNotExist // a path without its NUL
		}
		return nil, errInvalid
	}
	var body []byte
	look := func(f func(r request) ([]byte, error)) ([]byte, error) {
		err := s.onNodes(c, m, func(r request) (err error) { body, err = f(r); return err })
		return body, err
	}
	change := func(f func(r request) error) ([]byte, error) { return ok, s.onNodes(c, m, f) }
	switch m.Op {
	case wire.Directory:
		return look(request.directory)
	case wire.DirectoryPart:
		return look(request.part)
	case wire.Read:
		return look(request.read)
	case wire.GetPerms:
		return look(request.getPerms)
	case wire.Mkdir:
		return change(request.mkdir)
	case wire.Remove:
		return change(request.remove)
	case wire.SetPerms:
		return change(request.setPerms)
	case wire.Watch:
		return nil, s.watch(c, m, words)
	case wire.Unwatch:
		return ok, s.unwatch(c, words)
	case wire.ResetWatches:
		c.watches = nil
		clear(c.txs)
		return ok, nil
	case wire.Start:
		return s.start(c, m)
	case wire.End:
		return ok, s.finish(c, m, words)
	case wire.DomainPath, wire.Introduced:
		return s.domain(m, words)
	case wire.Control:
		return ok, control(c, words)
	}
	return nil, errNoSuchOp
}

func (s *Server) start(c *conn, m wire.Message) ([]byte, error) {
	switch {
	case m.Tx != 0:
		return nil, errInvalid
	case c.domid != 0 && len(c.txs) > s.quotas.Transactions: // one more than the quota, as the daemon has it
		return nil, errNoSpace
	}
	s.lastTx++
	c.txs[s.lastTx] = &transaction{seen: make(map[string]uint64), changed: make(map[string]*node)}
	return wire.Join(strconv.FormatUint(uint64(s.lastTx), 10)), nil
}

func (s *Server) finish(c *conn, m wire.Message, words []string) error {
	if len(words) != 1 || words[0] != "T" && words[0] != "F" {
		return errInvalid
	}
	tx := c.txs[m.Tx]
	if tx == nil {
		return errNotExist
	}
	delete(c.txs, m.Tx)
	if words[0] == "F" {
		return nil
	}
	return s.commit(tx)
}

func (s *Server) domain(m wire.Message, words []string) ([]byte, error) {
	if len(words) != 1 {
		return nil, errInvalid
	}
	id, err := strconv.ParseUint(words[0], 10, 16)
	switch {
	case err != nil:
		return nil, errInvalid
	case m.Op == wire.DomainPath:
		return wire.Join(fmt.Sprintf("/local/domain/%d", id)), nil
	case s.introduced[int(id)]:
		return wire.Join("T"), nil
	}
	return wire.Join("F"), nil
}

// control knows one order.
func control(c *conn, words []string) error {
	switch {
	case c.domid != 0:
		return errAccess
	case len(words) == 1 && words[0] == "check":
		return nil
	}
	return errInvalid
}
