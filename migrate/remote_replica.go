package migrate

import (
	"context"
	"crypto/sha256"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/yamux"

	"github.com/xenhost/xenhost/migrate/replica"
)

var _ replica.Peer = (*Remote)(nil)

// Kept implements replica.Peer.
func (r *Remote) Kept(ctx context.Context) (all []replica.Kept, err error) {
	err = r.call(ctx, call{verb: verbKept, result: &all})
	return all, err
}

// Promote is replica.Promote there.
func (r *Remote) Promote(ctx context.Context, guest uuid.UUID, proof replica.Proof, opts *replica.PromoteOptions) (p replica.Promotion, err error) {
	if opts == nil {
		opts = &replica.PromoteOptions{}
	}
	err = r.call(ctx, call{verb: verbPromote, args: promoteArgs{guest, proof, *opts}, result: &p})
	return p, err
}

// Keep implements replica.Peer.
func (r *Remote) Keep(ctx context.Context, guest uuid.UUID) (replica.Keeper, error) {
	stream, id, err := r.openHold(ctx, verbKeep, guest)
	if err != nil {
		return nil, err
	}
	return &remoteKeeper{remoteSide{r: r, id: id, stream: stream}}, nil
}

// remoteKeeper is the other host's Keeper, reached by calls.
type remoteKeeper struct{ remoteSide }

// Begin implements replica.Keeper.
func (k *remoteKeeper) Begin(ctx context.Context, o replica.Offer) (held replica.Held, err error) {
	err = k.do(ctx, verbBegin, o, &held)
	return held, err
}

// Commit implements replica.Keeper.
func (k *remoteKeeper) Commit(ctx context.Context, g replica.Generation) (made replica.Generation, err error) {
	err = k.do(ctx, verbConfirm, g, &made)
	return made, err
}

// Sum implements replica.Keeper.
func (k *remoteKeeper) Sum(ctx context.Context, dev string) (sum [sha256.Size]byte, err error) {
	err = k.do(ctx, verbCopySum, diskArgs{dev}, &sum)
	return sum, err
}

// Push implements replica.Keeper.
func (k *remoteKeeper) Push(_ context.Context, dev string) (io.ReadWriteCloser, error) {
	stream, err := k.r.mux.OpenStream()
	if err != nil {
		return nil, k.r.lost(err)
	}
	if err := send(stream, call{verb: verbPush, hold: k.id, args: diskArgs{dev}}); err != nil {
		stream.Close()
		return nil, k.r.lost(err)
	}
	return pushed{stream}, nil
}

// pushed is a stream whose Read and Write end with Close.
type pushed struct{ *yamux.Stream }

// Close implements io.Closer.
func (p pushed) Close() error {
	err := p.Stream.Close() // tells the other side
	_ = p.SetDeadline(time.Unix(1, 0))
	return err
}
