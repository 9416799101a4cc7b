package blockcopy

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Store keeps what a replica remembers, beside its volume: OpenStore keeps it
// in a folder.
type Store interface {
	// Load returns the zero State if there is none.
	Load() (State, error)
	// Save replaces the state: when it returns, the new one survives a power
	// failure; if that comes earlier, the old one or the new one does.
	Save(State) error
	// Log is the redo log; it is empty at first.
	Log() Log
}

// Log is a file.
type Log interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	// Size is in bytes.
	Size() (int64, error)
}

// State is what a replica remembers. At most one of Receiving, Staged and
// Applying is there.
type State struct {
	// Volume is the Identity of the volume that the rest is about.
	Volume string `json:"volume,omitempty"`
	// Generation is what the volume holds as a whole.
	Generation Generation `json:"generation,omitzero"`
	// Receiving is a first copy that is written in place: the volume holds
	// nothing whole yet. From is a point that is on the disk.
	Receiving *Transfer `json:"receiving,omitempty"`
	// Staged is a delta that has arrived and waits for Apply: all of it is in the
	// redo log, and nothing of it in the volume.
	Staged *Applying `json:"staged,omitempty"`
	// Applying is the delta that makes of Generation another one: all of it
	// is in the redo log, and some of it in the volume.
	Applying *Applying `json:"applying,omitempty"`
}

// Applying is a delta that has arrived.
type Applying struct {
	To     Generation `json:"to"`
	Length int64      `json:"length"` // of the redo log, in bytes
}

// Replica is a volume that holds one whole generation at any time, crashes and
// power failures included. Its first copy is written in place; until that is
// complete, Generation is zero. Every later one is a delta: it is collected in
// a redo log, and applied when all of it has arrived, is proven and is on the
// disk.
//
// Nobody else may write to the volume. It is not safe for concurrent use.
type Replica struct {
	dst   Volume
	store Store
	state State
	id    string
}

// OpenReplica opens a replica, and finishes the delta that it was applying when
// it crashed: only then may the volume be read. If the volume has an Identity,
// as File has, what the store remembers of another one is forgotten.
func OpenReplica(ctx context.Context, dst Volume, store Store) (*Replica, error) {
	r := &Replica{dst: dst, store: store}
	if v, ok := dst.(interface{ Identity() string }); ok {
		r.id = v.Identity()
	}
	var err error
	r.state, err = store.Load()
	switch {
	case err != nil:
	case r.state.Volume != r.id:
		err = r.Forget()
	case r.state.Applying != nil:
		err = r.apply(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	return r, nil
}

// Generation is what the volume holds as a whole; zero if nothing yet.
func (r *Replica) Generation() Generation { return r.state.Generation }

// begun tells whether the volume holds a part of something, or all of it.
func (r *Replica) begun() bool {
	return r.state.Receiving != nil || r.state.Generation != Generation{}
}

// Forget tells that somebody else is going to write to the volume: it holds no
// generation any more.
func (r *Replica) Forget() error {
	if err := r.save(State{}); err != nil {
		return err
	}
	return r.store.Log().Truncate(0)
}

// Pending returns the transfer that was cut, with the point from which it goes
// on, or nil. All that came before is looked at again.
func (r *Replica) Pending(ctx context.Context) (*Transfer, error) {
	if r.state.Receiving != nil || r.state.Generation == (Generation{}) {
		return r.state.Receiving, nil
	}
	t, _, err := r.pending(ctx)
	return t, err
}

// Receive takes one stream. A first copy goes to the volume, a delta to the
// redo log and then to the volume. After an error the volume holds what it
// held before, and Pending tells whether the transfer can go on.
//
// ErrBase: t is not for the generation that the volume holds, or goes on with
// a transfer that is not pending.
func (r *Replica) Receive(ctx context.Context, in io.Reader, t Transfer) (Stats, error) {
	stats, err := r.receive(ctx, in, t, false)
	if err != nil {
		return stats, fmt.Errorf("replica: %w", err)
	}
	return stats, nil
}

// receive is Receive, or Stage.
func (r *Replica) receive(ctx context.Context, in io.Reader, t Transfer, stage bool) (Stats, error) {
	if r.state.Applying != nil { // the disk failed, and may do so again
		if err := r.apply(ctx); err != nil {
			return Stats{}, err
		}
	}
	if t.Size != r.dst.Size() {
		return Stats{}, fmt.Errorf("%w: the volume has %d bytes here, %d there", ErrStream, r.dst.Size(), t.Size)
	}
	if t.Base != r.state.Generation {
		return Stats{}, fmt.Errorf("%w: it is made for %s, here is %s", ErrBase, t.Base, r.state.Generation)
	}
	if r.state.Staged != nil { // its place is needed
		if err := r.save(State{Generation: r.state.Generation}); err != nil {
			return Stats{}, err
		}
	}
	first := r.state.Generation == Generation{}
	end := int64(pageSize) // of the redo log
	if t.From != (Point{}) {
		p := r.state.Receiving
		if !first {
			var err error
			if p, end, err = r.pending(ctx); err != nil {
				return Stats{}, err
			}
		}
		if p == nil || *p != t {
			return Stats{}, fmt.Errorf("%w: the transfer that it goes on with is not here", ErrBase)
		}
	}
	if first {
		return r.first(ctx, in, t)
	}
	return r.delta(ctx, in, t, end, stage)
}

// first writes in place.
func (r *Replica) first(ctx context.Context, in io.Reader, t Transfer) (Stats, error) {
	if err := r.save(State{Receiving: &t}); err != nil {
		return Stats{}, err
	}
	reached := func(p Point) error {
		t.From = p
		return r.save(State{Receiving: &t})
	}
	stats, err := Receive(ctx, in, r.dst, t, &ReceiveOptions{Checkpoint: reached})
	if err != nil {
		if r.dst.Sync() == nil { // what has arrived need not come again
			err = errors.Join(err, reached(stats.Next))
		}
		return stats, err
	}
	return stats, r.save(State{Generation: stats.Generation()})
}

func (r *Replica) save(s State) error {
	s.Volume = r.id
	if err := r.store.Save(s); err != nil {
		return err
	}
	r.state = s
	return nil
}
