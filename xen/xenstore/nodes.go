package xenstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
)

// Nodes are the operations on single nodes: of a Client, each for itself, or
// of a Tx, all at once when it ends.
type Nodes struct {
	c  *Client
	tx *transaction // nil outside a transaction
}

// do sends a request about a path and returns the body of the reply.
func (n Nodes) do(ctx context.Context, op wire.Op, path string, body []byte) ([]byte, error) {
	if !wire.ValidPath(path) {
		return nil, fmt.Errorf("%w: not an absolute path", ErrInvalid)
	}
	var tx uint32
	if n.tx != nil {
		if n.tx.over.Load() {
			return nil, ErrOver
		}
		tx = n.tx.id
	}
	return n.c.call(ctx, wire.Message{Op: op, Tx: tx, Body: body}, nil)
}

// Read returns the value of a node, or fs.ErrNotExist.
//
//	xenstore-read PATH
func (n Nodes) Read(ctx context.Context, path string) (Untrusted, error) {
	value, err := n.do(ctx, wire.Read, path, wire.Join(path))
	return value, wrap("read", path, err)
}

// Write sets the value of a node and makes the node, and those above it, if
// they are not there; new ones inherit the permissions of the one above. Path
// and value together have at most 4095 bytes (4079 through the device), the
// path alone 2048 beyond /local/domain/N/.
//
//	xenstore-write PATH VALUE
func (n Nodes) Write(ctx context.Context, path string, value []byte) error {
	_, err := n.do(ctx, wire.Write, path, append(wire.Join(path), value...))
	return wrap("write", path, err)
}

// Mkdir makes a node with an empty value; one that is there stays as it is.
func (n Nodes) Mkdir(ctx context.Context, path string) error {
	_, err := n.do(ctx, wire.Mkdir, path, wire.Join(path))
	return wrap("mkdir", path, err)
}

// Remove removes a node and all below it. One that is not there is no error,
// but if the node above it is not there either, it is fs.ErrNotExist.
//
//	xenstore-rm PATH
func (n Nodes) Remove(ctx context.Context, path string) error {
	_, err := n.do(ctx, wire.Remove, path, wire.Join(path))
	return wrap("remove", path, err)
}

// Perms returns a node's permissions; there is at least one.
func (n Nodes) Perms(ctx context.Context, path string) ([]Perm, error) {
	body, err := n.do(ctx, wire.GetPerms, path, wire.Join(path))
	if err != nil {
		return nil, wrap("get permissions of", path, err)
	}
	perms, err := parsePerms(body)
	return perms, wrap("get permissions of", path, err)
}

func parsePerms(body []byte) ([]Perm, error) {
	words, ok := wire.Split(body)
	if !ok || len(words) == 0 {
		return nil, fmt.Errorf("xenstored answers with permissions %q", body)
	}
	var perms []Perm
	for _, w := range words {
		p, err := ParsePerm(w)
		if err != nil {
			return nil, err
		}
		perms = append(perms, p)
	}
	return perms, nil
}

// SetPerms replaces a node's permissions.
//
//	xenstore-chmod PATH n0 r5
func (n Nodes) SetPerms(ctx context.Context, path string, perms ...Perm) error {
	words := []string{path}
	for _, p := range perms {
		if _, err := ParsePerm(p.String()); err != nil {
			return wrap("set permissions of", path, err)
		}
		words = append(words, p.String())
	}
	if len(perms) == 0 {
		return wrap("set permissions of", path, fmt.Errorf("%w: no owner", ErrInvalid))
	}
	_, err := n.do(ctx, wire.SetPerms, path, wire.Join(words...))
	return wrap("set permissions of", path, err)
}

// List returns the names of the nodes right below path, in no useful order; a
// node without any has an empty list. A list that does not fit into one
// message (about a thousand domains) is fetched in parts, all of one state.
//
//	xenstore-list PATH
func (n Nodes) List(ctx context.Context, path string) ([]string, error) {
	body, err := n.do(ctx, wire.Directory, path, wire.Join(path))
	var names []string
	switch {
	case errors.Is(err, errTooBig):
		names, err = n.listParts(ctx, path)
	case err == nil:
		names, err = parseNames(body)
	}
	return names, wrap("list", path, err)
}

func parseNames(body []byte) ([]string, error) {
	names, ok := wire.Split(body)
	if !ok {
		return nil, fmt.Errorf("xenstored answers with names %q", body[:min(len(body), 64)])
	}
	return names, nil
}

// maxList bounds what is kept of one list: no host has so many nodes in one
// place, and a guest can not make them.
const maxList = 4 << 20

func (n Nodes) listParts(ctx context.Context, path string) ([]string, error) {
	for range 16 {
		names, whole, err := n.tryParts(ctx, path)
		if whole || err != nil {
			return names, err
		}
	}
	return nil, ErrConflict
}

// tryParts reports false if the list changed meanwhile.
func (n Nodes) tryParts(ctx context.Context, path string) (names []string, whole bool, err error) {
	var all []byte
	var first string
	for {
		body, err := n.do(ctx, wire.DirectoryPart, path, wire.Join(path, strconv.Itoa(len(all))))
		if err != nil {
			return nil, false, err
		}
		generation, part, last, err := parsePart(body)
		if err != nil {
			return nil, false, err
		}
		if first == "" {
			first = generation
		}
		if generation != first {
			return nil, false, nil
		}
		all = append(all, part...)
		switch {
		case last:
			names, err := parseNames(all)
			return names, true, err
		case len(part) == 0 || len(all) > maxList:
			return nil, false, fmt.Errorf("xenstored answers with a list without an end, after %d bytes", len(all))
		}
	}
}

// parsePart reads the reply of DIRECTORY_PART: a generation, names, and an
// empty name after the last one.
func parsePart(body []byte) (generation string, part []byte, last bool, err error) {
	head, rest, ok := bytes.Cut(body, []byte{0})
	if !ok || len(head) == 0 || len(rest) > 0 && rest[len(rest)-1] != 0 {
		return "", nil, false, fmt.Errorf("xenstored answers with a part of a list %q", body[:min(len(body), 64)])
	}
	if len(rest) == 1 || bytes.HasSuffix(rest, []byte{0, 0}) {
		return string(head), rest[:len(rest)-1], true, nil
	}
	return string(head), rest, false, nil
}
