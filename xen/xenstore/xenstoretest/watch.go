package xenstoretest

import (
	"slices"
	"strings"

	"github.com/xenhost/xenhost/xen/xenstore"
	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
)

// fire sends an event to the watches of path and, unless it is exact, of what
// is above it: of all connections, or only of one. was is the node before it
// was removed; a domain is told only of nodes that it may read.
func (s *Server) fire(only *conn, path string, was *node, exact bool) {
	n := s.nodes[path]
	if n == nil {
		n = was
	}
	for _, c := range s.conns {
		if only != nil && c != only {
			continue
		}
		special := strings.HasPrefix(path, "@")
		if c.domid != 0 && (special || n == nil || !n.allows(c.domid, xenstore.Read)) {
			continue
		}
		for _, w := range c.watches {
			if w.path == path || !exact && !special && isBelow(path, w.path) {
				c.send(event(w, path))
			}
		}
	}
}

func event(w watch, path string) wire.Message {
	return wire.Message{Op: wire.Event, Body: wire.Join(strings.TrimPrefix(path, w.relative), w.token)}
}

// watch begins a watch; its first event comes right after the reply.
func (s *Server) watch(c *conn, m wire.Message, words []string) error {
	if len(words) != 2 {
		return errInvalid
	}
	w := watch{path: words[0], token: words[1]}
	if !strings.HasPrefix(w.path, "@") {
		path, err := c.path(words[0])
		if err != nil {
			return err
		}
		if w.path = path; path != words[0] {
			w.relative = strings.TrimSuffix(path, words[0])
		}
	}
	same := func(other watch) bool { return other.path == w.path && other.token == w.token }
	switch {
	case slices.ContainsFunc(c.watches, same):
		return errExist
	case c.domid != 0 && len(c.watches) > s.quotas.Watches: // one more than the quota, as the daemon has it
		return errTooBig
	}
	c.watches = append(c.watches, w)
	reply(c, m, []byte("OK\x00"))
	c.send(event(w, w.path))
	return nil
}

func (s *Server) unwatch(c *conn, words []string) error {
	if len(words) != 2 {
		return errInvalid
	}
	path := words[0]
	if !strings.HasPrefix(path, "@") {
		var err error
		if path, err = c.path(path); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(c.watches, func(w watch) bool { return w.path == path && w.token == words[1] })
	if i < 0 {
		return errNotExist
	}
	c.watches = slices.Delete(c.watches, i, i+1)
	return nil
}
