package xenstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
)

// DomainPath returns where the nodes of a domain are: /local/domain/DOMID. The
// domain need not be there.
func (c *Client) DomainPath(ctx context.Context, domid int) (string, error) {
	if err := validDomid(domid); err != nil {
		return "", wrap("find domain", strconv.Itoa(domid), err)
	}
	body, err := c.call(ctx, wire.Message{Op: wire.DomainPath, Body: wire.Join(strconv.Itoa(domid))}, nil)
	path := strings.TrimSuffix(string(body), "\x00")
	if err == nil && !wire.ValidPath(path) {
		err = fmt.Errorf("xenstored answers with the path %q", body)
	}
	if err != nil {
		return "", wrap("find domain", strconv.Itoa(domid), err)
	}
	return path, nil
}

// Introduced reports whether xenstored is connected to a domain: from its
// creation until it is gone.
func (c *Client) Introduced(ctx context.Context, domid int) (bool, error) {
	if err := validDomid(domid); err != nil {
		return false, wrap("look for domain", strconv.Itoa(domid), err)
	}
	body, err := c.call(ctx, wire.Message{Op: wire.Introduced, Body: wire.Join(strconv.Itoa(domid))}, nil)
	if err == nil && string(body) != "T\x00" && string(body) != "F\x00" {
		err = fmt.Errorf("xenstored answers with %q", body)
	}
	if err != nil {
		return false, wrap("look for domain", strconv.Itoa(domid), err)
	}
	return body[0] == 'T', nil
}

// validDomid refuses what xenstored would make another number of.
func validDomid(domid int) error {
	if domid < 0 || domid > 1<<15-1 {
		return fmt.Errorf("%w: not a domid", ErrInvalid)
	}
	return nil
}

// Control gives xenstored an order and returns what it says. Which orders
// there are depends on the daemon; help lists them.
//
//	xenstore-control check
func (c *Client) Control(ctx context.Context, words ...string) (string, error) {
	for _, w := range words {
		if strings.Contains(w, "\x00") {
			return "", wrap("control", "", fmt.Errorf("%w: a NUL", ErrInvalid))
		}
	}
	body, err := c.call(ctx, wire.Message{Op: wire.Control, Body: wire.Join(words...)}, nil)
	return strings.TrimSuffix(string(body), "\x00"), wrap("control", strings.Join(words, " "), err)
}
