package migrate

import (
	"context"
	"fmt"

	"github.com/hashicorp/yamux"

	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/xen/host"
)

// replicaVerb answers the verbs of replica.Peer and replica.Keeper. A replica is
// of the host that said hello, whatever the call says.
func (s *session) replicaVerb(ctx context.Context, req request, stream *yamux.Stream) (any, error) {
	switch req.Verb {
	case verbKept:
		return replica.List(ctx, s.host)
	case verbKeep:
		return s.keep(req, stream)
	case verbPromote:
		a, err := args[promoteArgs](req)
		if err != nil {
			return nil, err
		}
		return replica.Promote(ctx, s.host, a.UUID, a.Proof, &a.Options)
	}
	s.mu.Lock()
	k := s.keeps[req.Hold]
	s.mu.Unlock()
	if k == nil {
		return nil, fmt.Errorf("%w: %q of a replica that is not held", ErrProtocol, req.Verb)
	}
	switch req.Verb {
	case verbBegin:
		o, err := args[replica.Offer](req)
		if err != nil {
			return nil, err
		}
		return k.Begin(context.WithoutCancel(ctx), o)
	case verbConfirm:
		g, err := args[replica.Generation](req)
		if err != nil {
			return nil, err
		}
		return k.Commit(context.WithoutCancel(ctx), g)
	}
	a, err := args[diskArgs](req)
	if err != nil {
		return nil, err
	}
	if req.Verb == verbCopySum {
		return k.Sum(ctx, a.Dev)
	}
	return nil, k.Serve(ctx, a.Dev, stream)
}

// keep holds a replica until the peer closes the stream of this call or the
// connection ends.
func (s *session) keep(req request, stream *yamux.Stream) (any, error) {
	a, err := args[guestArgs](req)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	peer := s.peer
	s.mu.Unlock()
	if peer == "" {
		return nil, fmt.Errorf("%w: a replica is of a host, and the peer said no name", host.ErrInvalid)
	}
	k, err := replica.Keep(s.host, peer, a.UUID)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.lastID++
	id := s.lastID
	s.keeps[id] = k
	s.mu.Unlock()
	if err := writeMessage(stream, reply{Result: fmt.Appendf(nil, "%d", id)}); err == nil {
		var b [1]byte
		_, _ = stream.Read(b[:]) // returns when the peer closes it, or says what it must not
	}
	s.mu.Lock()
	delete(s.keeps, id)
	s.mu.Unlock()
	return nil, k.Close()
}
