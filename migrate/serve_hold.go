package migrate

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/relay"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// held is a guest that the peer holds. One verb at a time is at work on it,
// and beside that its memory may be on the way.
type held struct {
	mu    sync.Mutex
	side  *handover.Local // nil: given back
	over  chan struct{}   // closed when it is to be given back
	moves sync.WaitGroup
}

// hold holds a guest until the peer closes the stream of this call or the
// connection ends. The answer is sent while the call goes on; its end tells
// the peer that the guest was given back.
func (s *session) hold(ctx context.Context, req request, stream *yamux.Stream) (any, error) {
	a, err := args[guestArgs](req)
	if err != nil {
		return nil, err
	}
	side, err := handover.Open(s.host, a.UUID)
	if err != nil {
		return nil, err
	}
	h := &held{side: side, over: make(chan struct{})}
	s.mu.Lock()
	s.lastID++
	id := s.lastID
	s.holds[id] = h
	s.mu.Unlock()

	err = writeMessage(stream, reply{Result: fmt.Appendf(nil, "%d", id)})
	if err == nil {
		var b [1]byte
		_, _ = stream.Read(b[:]) // returns when the peer closes it, or says what it must not
	}
	s.mu.Lock()
	delete(s.holds, id)
	s.mu.Unlock()
	h.mu.Lock()
	h.side = nil
	h.mu.Unlock()
	close(h.over)
	h.moves.Wait()
	return nil, side.Close()
}

// moveMemory runs Emit or Absorb, until it ends by itself, or the hold or the
// connection does.
func (s *session) moveMemory(ctx context.Context, h *held, req request, stream *yamux.Stream) (stats relay.Stats, err error) {
	h.mu.Lock()
	side := h.side
	if side != nil {
		h.moves.Add(1)
	}
	h.mu.Unlock()
	if side == nil {
		return stats, fmt.Errorf("%w: %q after the hold", ErrProtocol, req.Verb)
	}
	defer h.moves.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-h.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	data := chunkWriter{stream}
	wire := &memoryWire{Reader: &chunkReader{r: stream}, Writer: data, close: func() error {
		return stream.SetReadDeadline(time.Unix(1, 0)) // ends the Read that is under way
	}}
	if req.Verb == verbAbsorb {
		stats, err = side.Absorb(ctx, wire)
	} else {
		var a emitArgs
		if a, err = args[emitArgs](req); err == nil {
			stats, err = side.Emit(ctx, wire, a.Suspended)
		}
	}
	if closeErr := data.Close(); err == nil {
		err = closeErr
	}
	return stats, err
}

// memoryWire is both ways of a stream.
type memoryWire struct {
	io.Reader
	io.Writer
	close func() error
}

func (m *memoryWire) Close() error { return m.close() }

// heldVerb answers the verbs of handover.Side. Those that change something are
// finished even when the caller or the connection goes away: half of them is
// worse than all.
func (s *session) heldVerb(ctx context.Context, req request, stream *yamux.Stream) (any, error) {
	s.mu.Lock()
	h := s.holds[req.Hold]
	s.mu.Unlock()
	if h == nil {
		return nil, fmt.Errorf("%w: %q without a hold", ErrProtocol, req.Verb)
	}
	if req.Verb == verbEmit || req.Verb == verbAbsorb {
		return s.moveMemory(ctx, h, req, stream)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.side == nil {
		return nil, fmt.Errorf("%w: %q after the hold", ErrProtocol, req.Verb)
	}
	switch req.Verb {
	case verbObserve:
		return h.side.Observe(ctx)
	case verbReread:
		a, err := args[rereadArgs](req)
		if err != nil {
			return nil, err
		}
		return h.side.Reread(ctx, a.Dev, a.Extents)
	case verbChanged, verbSum, verbSample, verbExtents:
		a, err := args[diskArgs](req)
		switch {
		case err != nil:
			return nil, err
		case req.Verb == verbSum:
			return h.side.Sum(ctx, a.Dev)
		case req.Verb == verbSample:
			return h.side.Sample(ctx, a.Dev)
		case req.Verb == verbExtents:
			return h.side.Extents(ctx, a.Dev)
		}
		return h.side.Changed(ctx, a.Dev)
	case verbCompare, verbLearn, verbHashes:
		return compare(ctx, h.side, req, stream)
	case verbSend:
		return s.send(ctx, h.side, req, stream)
	case verbAccept:
		return s.acceptDisk(ctx, h.side, req, stream)
	case verbSurvey:
		g, err := args[host.Guest](req)
		if err != nil {
			return nil, err
		}
		return h.side.Survey(ctx, g)
	}
	return change(context.WithoutCancel(ctx), h.side, req)
}

// change runs the verbs that change something.
func change(ctx context.Context, side *handover.Local, req request) (any, error) {
	switch req.Verb {
	case verbPut:
		r, err := args[owner.Record](req)
		if err != nil {
			return nil, err
		}
		return nil, side.Put(ctx, r)
	case verbClaim:
		a, err := args[claimArgs](req)
		if err != nil {
			return nil, err
		}
		return nil, side.Claim(ctx, a.Token)
	case verbReceive:
		a, err := args[receiveArgs](req)
		if err != nil {
			return nil, err
		}
		return side.Receive(ctx, a.Guest, a.Epoch)
	case verbFence:
		a, err := args[fenceArgs](req)
		if err != nil {
			return nil, err
		}
		return nil, side.Fence(ctx, a.Epoch)
	case verbUp:
		return nil, side.Start(ctx)
	case verbDown:
		return side.Stop(ctx)
	case verbRise:
		return side.Rise(ctx)
	case verbBury:
		return nil, side.Bury(ctx)
	case verbNext:
		return side.Next(ctx)
	case verbSnapshot:
		return nil, side.Snapshot(ctx)
	case verbUnfence:
		return nil, side.Unfence(ctx)
	case verbPutAside:
		return nil, side.PutAside(ctx)
	case verbDiscard:
		return nil, side.Discard(ctx)
	case verbAdopt:
		return nil, side.Adopt(ctx)
	}
	return nil, fmt.Errorf("%w: unknown verb %q", ErrProtocol, req.Verb)
}

func (s *session) send(ctx context.Context, side *handover.Local, req request, stream io.Writer) (any, error) {
	a, err := args[sendArgs](req)
	var stats blockcopy.Stats
	data := chunkWriter{stream}
	if err == nil {
		stats, err = side.Send(ctx, a.From, a.Transfer, data)
	}
	// The reply comes behind the data, also of one that failed.
	if closeErr := data.Close(); err == nil {
		err = closeErr
	}
	return stats, err
}

func (s *session) acceptDisk(ctx context.Context, side *handover.Local, req request, stream io.Reader) (any, error) {
	a, err := args[acceptArgs](req)
	if err != nil {
		return nil, err
	}
	return side.Accept(ctx, a.Dev, a.Transfer, &chunkReader{r: stream})
}
