package replica

import (
	"context"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// At is a host of this process as the Peer of the host from.
func At(h *host.Host, from string) Peer { return at{h, from} }

type at struct {
	*host.Host
	from string
}

// Keep implements Peer.
func (a at) Keep(_ context.Context, guest uuid.UUID) (Keeper, error) {
	return Keep(a.Host, a.from, guest)
}

// Kept implements Peer.
func (a at) Kept(ctx context.Context) ([]Kept, error) { return List(ctx, a.Host) }

// List returns the replicas that a host keeps, ordered by UUID. It looks and
// holds nothing.
func List(ctx context.Context, h *host.Host) ([]Kept, error) {
	guests, err := h.Guests(ctx)
	if err != nil {
		return nil, err
	}
	all := []Kept{}
	for _, s := range guests {
		if s.Owner.State != owner.Replica {
			continue
		}
		g, err := load(h.ReplicaDir(s.Owner.UUID))
		if err != nil {
			return nil, err
		}
		all = append(all, Kept{UUID: s.Owner.UUID, Name: s.Guest.Name, Peer: s.Owner.Peer, Generation: g, Record: s.Owner})
	}
	return all, nil
}
