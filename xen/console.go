package xen

import (
	"context"
	"io"
	"net/netip"

	"github.com/google/uuid"
)

// Consoler opens the text console of a domain.
type Consoler interface {
	// Console returns the console of PV and PVH domains and the first serial
	// port of HVM domains. What is read is written by the guest: do not trust
	// it. Read ends with io.EOF when the domain does; Close ends a Read. Two
	// readers of one console get parts each.
	Console(ctx context.Context, id uuid.UUID) (io.ReadWriteCloser, error)
}

// Screener tells where the screen of a domain is.
type Screener interface {
	// Screen returns the address in dom0 at which an HVM domain with VNC shows
	// its screen. It has no password: give it to customers through a proxy of
	// your own only. errors.ErrUnsupported: it has no screen.
	Screen(ctx context.Context, id uuid.UUID) (netip.AddrPort, error)
}
