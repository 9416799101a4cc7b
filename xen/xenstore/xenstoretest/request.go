package xenstoretest

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/xenhost/xenhost/xen/xenstore"
	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
)

// request is one request about a node.
type request struct {
	view
	conn *conn
	path string
	rest []byte // what follows the path
}

// onNodes gives a request its path and its view.
func (s *Server) onNodes(c *conn, m wire.Message, f func(r request) error) error {
	name, rest, ok := bytes.Cut(m.Body, []byte{0})
	if !ok {
		return errInvalid
	}
	path, err := c.path(string(name))
	if err != nil {
		return err
	}
	var tx *transaction
	if m.Tx != 0 {
		if tx = c.txs[m.Tx]; tx == nil {
			return errNotExist
		}
	}
	if err := f(request{s.view(tx), c, path, rest}); err != nil {
		return err
	}
	if tx != nil && c.domid != 0 && len(tx.seen) > s.quotas.TxNodes {
		return errNoSpace
	}
	return nil
}

// maxPath is what the daemon's quota allows of a path, not counting the folder
// of a domain that it begins with, although the protocol allows 3072.
const maxPath = 2048

var ownFolder = regexp.MustCompile(`^/local/domain/[0-9]{1,5}/`)

// path makes a name absolute: a relative one is below the connection's domain.
func (c *conn) path(name string) (string, error) {
	if len(name) == 0 {
		return "", errInvalid
	}
	if name[0] != '/' {
		name = fmt.Sprintf("/local/domain/%d/%s", c.domid, name)
	}
	if !wire.ValidPath(name) || len(name)-len(ownFolder.FindString(name)) > maxPath {
		return "", errInvalid
	}
	return name, nil
}

// get returns the node if the connection may use it so. Whoever may not use
// what is above a missing node does not learn that it is missing.
func (r request) get(want xenstore.Access) (*node, error) {
	n := r.view.get(r.path)
	if n != nil {
		if !n.allows(r.conn.domid, want) {
			return nil, errAccess
		}
		return n, nil
	}
	for up := r.path; up != "/"; {
		up, _ = split(up)
		if above := r.view.get(up); above != nil {
			if !above.allows(r.conn.domid, want) {
				return nil, errAccess
			}
			break
		}
	}
	return nil, errNotExist
}

func (r request) read() ([]byte, error) {
	n, err := r.get(xenstore.Read)
	if err != nil {
		return nil, err
	}
	return append([]byte{}, n.value...), nil // not nil
}

func (r request) directory() ([]byte, error) {
	n, err := r.get(xenstore.Read)
	if err != nil {
		return nil, err
	}
	body := wire.Join(n.children...)
	if len(body) > wire.MaxBody {
		return nil, errTooBig
	}
	return append([]byte{}, body...), nil // not nil
}

func (r request) part() ([]byte, error) {
	n, err := r.get(xenstore.Read)
	if err != nil {
		return nil, err
	}
	words, _ := wire.Split(r.rest)
	all := wire.Join(n.children...)
	if len(words) != 1 {
		return nil, errInvalid
	}
	offset, err := strconv.ParseUint(words[0], 10, 31)
	if err != nil {
		return nil, errInvalid
	}
	body := wire.Join(strconv.FormatUint(n.generation, 10))
	rest := all[min(int(offset), len(all)):]
	for len(rest) > 0 {
		name := rest[:bytes.IndexByte(rest, 0)+1]
		if len(body)+len(name)+1 > wire.MaxBody {
			return body, nil
		}
		body, rest = append(body, name...), rest[len(name):]
	}
	return append(body, 0), nil
}

func (r request) getPerms() ([]byte, error) {
	n, err := r.get(xenstore.Read)
	if err != nil {
		return nil, err
	}
	var words []string
	for _, p := range n.perms {
		words = append(words, p.String())
	}
	return wire.Join(words...), nil
}

// change puts a changed node, within the quotas of its owner's domain.
func (r request) change(n node) error {
	if r.conn.domid != 0 && n.size() > r.s.quotas.NodeSize {
		return errNoSpace
	}
	r.put(r.path, &n)
	r.fire(r.path, nil, false)
	return nil
}

func (r request) write() error {
	n, err := r.get(xenstore.Write)
	if errors.Is(err, errNotExist) {
		return r.create(r.rest)
	}
	if err != nil {
		return err
	}
	changed := *n
	changed.value = slices.Clone(r.rest)
	return r.change(changed)
}

func (r request) mkdir() error {
	_, err := r.get(xenstore.Write)
	if errors.Is(err, errNotExist) {
		return r.create(nil)
	}
	return err
}

// create makes the node and those above it that are missing.
func (r request) create(value []byte) error {
	var missing []string
	up := r.path
	for ; r.view.get(up) == nil; up, _ = split(up) {
		missing = append(missing, up)
	}
	perms := slices.Clone(r.view.get(up).perms)
	if id := r.conn.domid; id != 0 {
		perms[0].Domain = id
		_, name := split(missing[len(missing)-1])
		tooBig := (&node{value: value, perms: perms}).size() > r.s.quotas.NodeSize ||
			r.view.get(up).size()+len(name)+1 > r.s.quotas.NodeSize
		if tooBig || r.owned(id)+len(missing) > r.s.quotas.Nodes {
			return errNoSpace
		}
	}
	for i, path := range slices.Backward(missing) {
		n := &node{perms: slices.Clone(perms)}
		if i == 0 {
			n.value = slices.Clone(value)
		}
		r.make(path, n)
	}
	r.fire(r.path, nil, false)
	return nil
}

func (r request) remove() error {
	if r.path == "/" {
		return errInvalid
	}
	n, err := r.get(xenstore.Write)
	if errors.Is(err, errNotExist) {
		if up, _ := split(r.path); r.view.get(up) != nil {
			return nil
		}
	}
	if err != nil {
		return err
	}
	r.unmake(r.path)
	r.fire(r.path, n, false)
	r.removeBelow(r.path, n)
	return nil
}

// removeBelow removes what was below a node that is gone; each is told to the
// watches of just that path.
func (r request) removeBelow(path string, n *node) {
	for _, name := range n.children {
		child := path + "/" + name
		was := r.view.get(child)
		r.put(child, nil)
		r.fire(child, was, true)
		r.removeBelow(child, was)
	}
}

func (r request) setPerms() error {
	words, _ := wire.Split(r.rest)
	if len(words) == 0 {
		return errInvalid
	}
	if r.conn.domid != 0 && len(words) > r.s.quotas.Perms {
		return errNoSpace
	}
	var perms []xenstore.Perm
	for _, w := range words {
		p, err := xenstore.ParsePerm(w)
		if err != nil {
			return errInvalid
		}
		perms = append(perms, p)
	}
	n, err := r.get(xenstore.Write)
	if err != nil {
		return err
	}
	if id := r.conn.domid; id != 0 {
		if n.perms[0].Domain != id {
			return errAccess
		}
		if perms[0].Domain != id {
			return errPerm
		}
	}
	changed := *n
	changed.perms = perms
	return r.change(changed)
}
