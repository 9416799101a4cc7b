package migrate

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

// Host is a host as a panel, a CLI or a move sees it, wherever it is:
// *host.Host is one, and so is *Remote.
type Host interface {
	Viewer
	Operator
}

// Viewer looks at a host and its guests.
type Viewer interface {
	Name() string
	Info(ctx context.Context) (xen.HostInfo, error)
	Guests(ctx context.Context) ([]host.Status, error)
	Guest(ctx context.Context, id uuid.UUID) (host.Status, error)
	Find(ctx context.Context, nameOrUUID string) (host.Guest, error)
}

// Operator changes the guests of a host; the verbs are those of host.Host.
type Operator interface {
	Provision(ctx context.Context, g host.Guest, opts *host.ProvisionOptions) (host.Guest, error)
	Start(ctx context.Context, id uuid.UUID) error
	Stop(ctx context.Context, id uuid.UUID) (xen.Ending, error)
	Terminate(ctx context.Context, id uuid.UUID) error
}

var (
	_ Host = (*host.Host)(nil)
	_ Host = (*Remote)(nil)
)

// open holds a guest on a host for a hand-over.
func open(ctx context.Context, h Host, id uuid.UUID) (handover.Side, error) {
	switch h := h.(type) {
	case *host.Host:
		return handover.Open(h, id)
	case *Remote:
		return h.open(ctx, id)
	}
	return nil, fmt.Errorf("%w: a move needs a *host.Host or a *migrate.Remote on each side, not %T", host.ErrInvalid, h)
}
