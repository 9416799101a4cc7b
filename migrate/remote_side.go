package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/yamux"

	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// remoteSide is the other host's Side of a hand-over: its handover.Local,
// reached by calls. The guest is held there while the stream is open.
type remoteSide struct {
	r      *Remote
	id     uint64
	stream *yamux.Stream
}

var _ handover.Side = (*remoteSide)(nil)

// open holds a guest on the other host.
func (r *Remote) open(ctx context.Context, id uuid.UUID) (handover.Side, error) {
	stream, hold, err := r.openHold(ctx, verbHold, id)
	if err != nil {
		return nil, err
	}
	return &remoteSide{r: r, id: hold, stream: stream}, nil
}

// openHold calls a verb that lasts as long as its stream, and returns the number
// that it gave.
func (r *Remote) openHold(ctx context.Context, verb string, id uuid.UUID) (stream *yamux.Stream, hold uint64, err error) {
	if stream, err = r.mux.OpenStream(); err != nil {
		return nil, 0, r.lost(err)
	}
	stop := context.AfterFunc(ctx, func() {
		stream.Close()
		_ = stream.SetDeadline(time.Unix(1, 0))
	})
	if err := r.talkHold(stream, verb, id, &hold); err != nil {
		stop()
		stream.Close()
		return nil, 0, err
	}
	if !stop() { // ctx ended just now
		stream.Close()
		return nil, 0, ctx.Err()
	}
	return stream, hold, nil
}

func (r *Remote) talkHold(stream *yamux.Stream, verb string, id uuid.UUID, hold *uint64) error {
	if err := send(stream, call{verb: verb, args: guestArgs{id}}); err != nil {
		return r.lost(err)
	}
	var rep reply
	if err := readMessage(stream, maxReply, &rep); err != nil {
		return r.lost(err)
	}
	if rep.Error != nil {
		return rep.Error.arrived(r.name)
	}
	return json.Unmarshal(rep.Result, hold)
}

// Close gives the guest back and waits until it is, but not for ever: the
// other side may be at work on a step that it finishes first.
func (s *remoteSide) Close() error {
	err := s.stream.Close()
	_ = s.stream.SetReadDeadline(time.Now().Add(time.Minute))
	_, _ = io.Copy(io.Discard, s.stream) // ends when the other side closes it, or with the connection
	return err
}

// change is do for what the other side finishes also when it is given up. It is
// waited for, as long as the connection lasts: given up, it could be done behind
// what undoes it.
func (s *remoteSide) change(ctx context.Context, verb string, args, result any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.do(context.WithoutCancel(ctx), verb, args, result)
}

func (s *remoteSide) do(ctx context.Context, verb string, args, result any) error {
	return s.r.call(ctx, call{verb: verb, hold: s.id, args: args, result: result})
}

func (s *remoteSide) Host() string { return s.r.name }

// Observe takes the host's name from the hello, not from the answer.
func (s *remoteSide) Observe(ctx context.Context) (seen handover.Seen, err error) {
	err = s.do(ctx, verbObserve, nil, &seen)
	seen.Host = s.r.name
	return seen, err
}

func (s *remoteSide) Claim(ctx context.Context, token uint64) error {
	return s.change(ctx, verbClaim, claimArgs{token}, nil)
}

func (s *remoteSide) Put(ctx context.Context, r owner.Record) error {
	return s.change(ctx, verbPut, r, nil)
}

func (s *remoteSide) Start(ctx context.Context) error { return s.change(ctx, verbUp, nil, nil) }

func (s *remoteSide) Stop(ctx context.Context) (how xen.Ending, err error) {
	err = s.change(ctx, verbDown, nil, &how)
	return how, err
}

func (s *remoteSide) Sum(ctx context.Context, dev string) (sum [sha256.Size]byte, err error) {
	err = s.do(ctx, verbSum, diskArgs{dev}, &sum)
	return sum, err
}

func (s *remoteSide) Sample(ctx context.Context, dev string) (sum [sha256.Size]byte, err error) {
	err = s.do(ctx, verbSample, diskArgs{dev}, &sum)
	return sum, err
}

func (s *remoteSide) Snapshot(ctx context.Context) error {
	return s.change(ctx, verbSnapshot, nil, nil)
}

func (s *remoteSide) Changed(ctx context.Context, dev string) (changed int64, err error) {
	err = s.do(ctx, verbChanged, diskArgs{dev}, &changed)
	return changed, err
}

func (s *remoteSide) Send(ctx context.Context, from handover.Reading, t blockcopy.Transfer, w io.Writer) (stats blockcopy.Stats, err error) {
	err = s.r.call(ctx, call{verb: verbSend, hold: s.id, args: sendArgs{from, t}, down: w, result: &stats})
	return stats, err
}

func (s *remoteSide) Fence(ctx context.Context, epoch uint64) error {
	return s.change(ctx, verbFence, fenceArgs{epoch}, nil)
}

func (s *remoteSide) Unfence(ctx context.Context) error { return s.change(ctx, verbUnfence, nil, nil) }

func (s *remoteSide) PutAside(ctx context.Context) error {
	return s.change(ctx, verbPutAside, nil, nil)
}

func (s *remoteSide) Survey(ctx context.Context, g host.Guest) (survey handover.Survey, err error) {
	err = s.do(ctx, verbSurvey, g, &survey)
	return survey, err
}

func (s *remoteSide) Receive(ctx context.Context, g host.Guest, epoch uint64) (fresh map[string]bool, err error) {
	err = s.change(ctx, verbReceive, receiveArgs{g, epoch}, &fresh)
	return fresh, err
}

func (s *remoteSide) Accept(ctx context.Context, dev string, t blockcopy.Transfer, r io.Reader) (stats blockcopy.Stats, err error) {
	err = s.r.call(ctx, call{verb: verbAccept, hold: s.id, args: acceptArgs{dev, t}, up: uploads(r), result: &stats})
	return stats, err
}

func (s *remoteSide) Discard(ctx context.Context) error { return s.change(ctx, verbDiscard, nil, nil) }

func (s *remoteSide) Adopt(ctx context.Context) error { return s.change(ctx, verbAdopt, nil, nil) }
