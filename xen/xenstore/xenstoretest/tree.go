package xenstoretest

import (
	"slices"
	"strings"

	"github.com/xenhost/xenhost/xen/xenstore"
)

// node is never changed once it is in a map; a change puts another one there.
type node struct {
	value      []byte
	perms      []xenstore.Perm
	children   []string // names, in the order of their making
	generation uint64   // of its last change
}

func (n *node) size() int {
	size := len(n.value) + 8*len(n.perms)
	for _, name := range n.children {
		size += len(name) + 1
	}
	return size
}

// allows tells what a domain may do with the node.
func (n *node) allows(domid int, want xenstore.Access) bool {
	if domid == 0 || n.perms[0].Domain == domid {
		return true
	}
	has := n.perms[0].Access
	for _, p := range n.perms[1:] {
		if p.Domain == domid {
			has = p.Access
			break
		}
	}
	return has == want || has == xenstore.ReadWrite
}

// view is the store as one transaction, or everybody (nil), sees it.
type view struct {
	s  *Server
	tx *transaction
}

// transaction is a copy of what it touched.
type transaction struct {
	seen    map[string]uint64 // the generation of each node when it was first touched; 0: not there
	changed map[string]*node  // nil: removed
	fires   []fired           // what to tell the watches at the end
}

type fired struct {
	path  string
	was   *node
	exact bool
}

func (s *Server) view(tx *transaction) view { return view{s: s, tx: tx} }

func (v view) get(path string) *node {
	if v.tx == nil {
		return v.s.nodes[path]
	}
	if n, ok := v.tx.changed[path]; ok {
		return n
	}
	n := v.s.nodes[path]
	if _, ok := v.tx.seen[path]; !ok {
		v.tx.seen[path] = generationOf(n)
	}
	return n
}

func generationOf(n *node) uint64 {
	if n == nil {
		return 0
	}
	return n.generation
}

// put replaces a node; nil removes it.
func (v view) put(path string, n *node) {
	v.get(path) // seen
	if v.tx != nil {
		v.tx.changed[path] = n
		return
	}
	if n == nil {
		delete(v.s.nodes, path)
		return
	}
	v.s.generation++
	n.generation = v.s.generation
	v.s.nodes[path] = n
}

// make puts a node that was not there below its parent, which is.
func (v view) make(path string, n *node) {
	v.put(path, n)
	if path == "/" {
		return
	}
	up, name := split(path)
	parent := *v.get(up)
	parent.children = append(slices.Clone(parent.children), name)
	v.put(up, &parent)
}

// unmake takes a node off its parent; what is below it is the caller's.
func (v view) unmake(path string) {
	up, name := split(path)
	parent := *v.get(up)
	parent.children = slices.DeleteFunc(slices.Clone(parent.children), func(c string) bool { return c == name })
	v.put(up, &parent)
	v.put(path, nil)
}

// owned counts the nodes of a domain.
func (v view) owned(domid int) (count int) {
	for path, n := range v.s.nodes {
		if v.tx != nil {
			if _, ok := v.tx.changed[path]; ok {
				continue
			}
		}
		if n.perms[0].Domain == domid {
			count++
		}
	}
	if v.tx == nil {
		return count
	}
	for _, n := range v.tx.changed {
		if n != nil && n.perms[0].Domain == domid {
			count++
		}
	}
	return count
}

// fire tells the watches of a change, at once or when the transaction ends.
func (v view) fire(path string, was *node, exact bool) {
	if v.tx != nil {
		v.tx.fires = append(v.tx.fires, fired{path, was, exact})
		return
	}
	v.s.fire(nil, path, was, exact)
}

// commit makes what the transaction changed everybody's.
func (s *Server) commit(tx *transaction) error {
	for path, generation := range tx.seen {
		if generationOf(s.nodes[path]) != generation {
			return errAgain
		}
	}
	if s.conflicts > 0 {
		s.conflicts--
		return errAgain
	}
	all := s.view(nil)
	for path, n := range tx.changed {
		all.put(path, n)
	}
	for _, f := range tx.fires {
		s.fire(nil, f.path, f.was, f.exact)
	}
	return nil
}

// split returns a path's parent and its last name.
func split(path string) (up, name string) {
	i := strings.LastIndex(path, "/")
	return path[:max(i, 1)], path[i+1:]
}

func isBelow(path, top string) bool {
	return path == top || top == "/" && strings.HasPrefix(path, "/") || strings.HasPrefix(path, top+"/")
}
