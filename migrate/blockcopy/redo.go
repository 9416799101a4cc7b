package blockcopy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
)

// logMagic begins a redo log: a page with the Transfer, and then the stream as
// it came.
const logMagic = "XENRDO01"

// logSync is how much of a redo log a power failure can take, in bytes.
const logSync = 16 << 20

// delta collects, proves, and applies, unless it is to be staged only.
func (r *Replica) delta(ctx context.Context, in io.Reader, t Transfer, end int64, stage bool) (Stats, error) {
	stats, end, err := r.collect(ctx, in, t, end)
	if err != nil {
		return stats, err
	}
	if err := r.store.Log().Sync(); err != nil {
		return stats, err
	}
	t.From = Point{}
	whole, err := r.prove(ctx, t, end)
	if err == nil && whole.Next != stats.Next {
		err = fmt.Errorf("%w: the redo log is not what arrived", ErrStream)
	}
	if err != nil {
		return stats, errors.Join(err, r.store.Log().Truncate(0)) // nothing to go on with
	}
	if stage {
		return stats, r.save(State{Generation: r.state.Generation, Staged: &Applying{To: whole.Generation(), Length: end}})
	}
	// From here on the new generation is what the replica will hold.
	state := State{Generation: r.state.Generation, Applying: &Applying{To: whole.Generation(), Length: end}}
	if err := r.save(state); err != nil {
		return stats, err
	}
	return stats, r.write(context.WithoutCancel(ctx), t)
}

// collect writes the stream to the redo log, from end on, and returns where it
// ends then.
func (r *Replica) collect(ctx context.Context, in io.Reader, t Transfer, end int64) (Stats, int64, error) {
	stats, log := Stats{Next: t.From}, r.store.Log()
	if t.From == (Point{}) {
		if err := log.Truncate(0); err != nil {
			return stats, end, err
		}
		if err := writePage(log, logMagic, t); err != nil {
			return stats, end, err
		}
	}
	out := bufio.NewWriterSize(io.NewOffsetWriter(log, end), 256<<10)
	from := buffered(in)
	f := newFrames(from, t)
	var payload []byte
	for synced := end; ; {
		var h header
		err := ctx.Err()
		if err == nil && !frameBuffered(from) { // before it waits: it may be killed then
			err = out.Flush()
		}
		if err == nil && end-synced >= logSync {
			err = errors.Join(out.Flush(), log.Sync())
			synced = end
		}
		if err == nil {
			h, payload, err = f.next(payload)
		}
		if err != nil { // whole frames stay, for the transfer to go on
			return stats, end, errors.Join(err, out.Flush())
		}
		_, err = out.Write(f.head[:])
		if err == nil {
			_, err = out.Write(payload)
		}
		if err != nil {
			return stats, end, err
		}
		end += headerSize + int64(len(payload))
		stats.count(h)
		stats.Next = f.at
		if h.typ == typeEnd {
			stats.Frames--
			return stats, end, out.Flush()
		}
	}
}

// logged returns the transfer whose frames the redo log has; false if there is
// none, or one of a generation that is gone.
func (r *Replica) logged() (t Transfer, ok bool, err error) {
	err = readPage(r.store.Log(), logMagic, &t)
	if errors.Is(err, errPage) {
		return t, false, nil
	}
	return t, err == nil && t.Base == r.state.Generation && t.Size == r.dst.Size(), err
}

// pending returns the delta that was cut, as far as the redo log has it, and
// where that ends.
func (r *Replica) pending(ctx context.Context) (*Transfer, int64, error) {
	t, ok, err := r.logged()
	if err != nil || !ok {
		return nil, 0, err
	}
	size, err := r.store.Log().Size()
	if err != nil {
		return nil, 0, err
	}
	stats, err := r.prove(ctx, t, size)
	switch {
	case err != nil && !errors.Is(err, ErrStream):
		return nil, 0, err
	case err == nil || stats.Next.Frames == 0: // with its END, and not applied; or worth nothing
		return nil, 0, nil
	}
	t.From = stats.Next
	return &t, pageSize + stats.Wire, nil
}

// prove takes the redo log up to end for a stream, and looks at all of it.
func (r *Replica) prove(ctx context.Context, t Transfer, end int64) (Stats, error) {
	return Receive(ctx, r.reader(end), nowhere(t.Size), t, nil)
}

func (r *Replica) reader(end int64) io.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(r.store.Log(), pageSize, max(end-pageSize, 0)), 256<<10)
}

// apply goes on with a delta that was being applied when this crashed. The redo
// log is proven once more, before the first write.
func (r *Replica) apply(ctx context.Context) error {
	a := r.state.Applying
	t, ok, err := r.logged()
	if err == nil && !ok {
		err = fmt.Errorf("%w: the redo log of %s is gone", ErrStream, a.To)
	}
	if err != nil {
		return err
	}
	stats, err := r.prove(ctx, t, a.Length)
	if err == nil && stats.Generation() != a.To {
		err = fmt.Errorf("%w: it is of %s, not %s", ErrStream, stats.Generation(), a.To)
	}
	if err != nil {
		return fmt.Errorf("redo log: %w", err)
	}
	return r.write(ctx, t)
}

// write brings what the redo log holds to the volume.
func (r *Replica) write(ctx context.Context, t Transfer) error {
	a := r.state.Applying
	if _, err := Receive(ctx, r.reader(a.Length), r.dst, t, nil); err != nil {
		return err
	}
	if err := r.save(State{Generation: a.To}); err != nil {
		return err
	}
	return r.store.Log().Truncate(0)
}

// nowhere is a volume that keeps nothing.
type nowhere int64

func (n nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (n nowhere) Zero(_, _ int64) error                  { return nil }
func (n nowhere) Sync() error                            { return nil }
func (n nowhere) Size() int64                            { return int64(n) }
