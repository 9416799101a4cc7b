package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/relay"
)

func (s *remoteSide) Next(ctx context.Context) (sizes map[string]int64, err error) {
	err = s.change(ctx, verbNext, nil, &sizes)
	return sizes, err
}

func (s *remoteSide) Extents(ctx context.Context, dev string) (extents []lvm.Extent, err error) {
	err = s.do(ctx, verbExtents, diskArgs{dev}, &extents)
	return extents, err
}

func (s *remoteSide) Reread(ctx context.Context, dev string, extents []lvm.Extent) (sum [sha256.Size]byte, err error) {
	err = s.do(ctx, verbReread, rereadArgs{dev, extents}, &sum)
	return sum, err
}

func (s *remoteSide) Rise(ctx context.Context) (lost bool, err error) {
	err = s.change(ctx, verbRise, nil, &lost)
	return lost, err
}

func (s *remoteSide) Bury(ctx context.Context) error { return s.change(ctx, verbBury, nil, nil) }

func (s *remoteSide) Emit(ctx context.Context, wire io.ReadWriteCloser, suspended bool) (stats relay.Stats, err error) {
	err = s.r.converse(ctx, call{verb: verbEmit, hold: s.id, args: emitArgs{suspended}, result: &stats}, wire)
	return stats, err
}

func (s *remoteSide) Absorb(ctx context.Context, wire io.ReadWriteCloser) (stats relay.Stats, err error) {
	err = s.r.converse(ctx, call{verb: verbAbsorb, hold: s.id, result: &stats}, wire)
	return stats, err
}

// converse is a call with bulk data both ways, which ends when the other side
// has said its last word; wire is closed then. When ctx ends, or wire does, the
// other side sees its end.
func (r *Remote) converse(ctx context.Context, c call, wire io.ReadWriteCloser) error {
	defer wire.Close()
	stream, err := r.mux.OpenStream()
	if err != nil {
		return r.lost(err)
	}
	defer stream.Close()
	stop := context.AfterFunc(ctx, func() {
		stream.Close()
		_ = stream.SetDeadline(time.Unix(1, 0))
	})
	defer stop()
	if err := send(stream, c); err != nil {
		return r.lost(err)
	}
	up := make(chan struct{})
	go func() {
		defer close(up)
		data := chunkWriter{stream}
		_, _ = io.CopyBuffer(data, struct{ io.Reader }{wire}, make([]byte, 256<<10))
		_ = data.Close()
	}()
	in := &chunkReader{r: stream}
	_, _ = io.CopyBuffer(struct{ io.Writer }{wire}, in, make([]byte, 256<<10))
	wire.Close()
	<-up
	var rep reply
	_, err = io.Copy(io.Discard, in) // what wire did not take any more
	if err == nil {
		err = readMessage(stream, maxReply, &rep)
	}
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %s: %w", r.name, c.verb, ctx.Err())
		}
		return r.lost(err)
	}
	if rep.Error != nil {
		return rep.Error.arrived(r.name)
	}
	if err := json.Unmarshal(rep.Result, c.result); err != nil {
		return fmt.Errorf("%w: %s: the answer to %s: %w", ErrProtocol, r.name, c.verb, err)
	}
	return nil
}
