package migrate

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/host"
)

// Peers are the hosts that guests of this one may have gone to, for
// host.Config.Peers: at boot they are asked before a guest is started.
type Peers struct {
	Hosts []Peer
	// Within is how long a boot waits for them, all at the same time; 0 is 30 s.
	Within time.Duration
}

var _ host.Peers = (*Peers)(nil)

// Peer is one of them.
type Peer struct {
	Name string // as it says hello
	Dial func(context.Context) (*Remote, error)
}

// Claims implements host.Peers.
func (p *Peers) Claims(ctx context.Context, guests []uuid.UUID) []host.Claim {
	within := p.Within
	if within == 0 {
		within = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	claims := make([][]host.Claim, len(p.Hosts))
	var all sync.WaitGroup
	for i, peer := range p.Hosts {
		all.Go(func() {
			var err error
			if claims[i], err = peer.claims(ctx, guests); err != nil {
				claims[i] = []host.Claim{{Host: peer.Name, Err: err}}
			}
		})
	}
	all.Wait()
	return slices.Concat(claims...)
}

func (p *Peer) claims(ctx context.Context, guests []uuid.UUID) (claims []host.Claim, err error) {
	r, err := p.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Name() != p.Name {
		return nil, fmt.Errorf("%w: it says that its name is %s", ErrProtocol, r.Name())
	}
	all, err := r.Guests(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if slices.Contains(guests, s.Owner.UUID) {
			claims = append(claims, host.Claim{Host: p.Name, Record: s.Owner})
		}
	}
	return claims, nil
}
