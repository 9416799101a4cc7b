package blockcopy

import (
	"context"
	"fmt"
	"io"
)

// Stage is Receive, but a delta that has arrived, is proven and on the disk
// waits for Apply, also over a crash: so several volumes that belong together
// get their next generation together, or none of them. Another delta that
// arrives meanwhile takes its place. A first copy, which is written in place,
// is there at once.
func (r *Replica) Stage(ctx context.Context, in io.Reader, t Transfer) (Stats, error) {
	stats, err := r.receive(ctx, in, t, true)
	if err != nil {
		return stats, fmt.Errorf("replica: %w", err)
	}
	return stats, nil
}

// Staged is the generation that Apply would make; zero if none waits.
func (r *Replica) Staged() Generation {
	if r.state.Staged == nil {
		return Generation{}
	}
	return r.state.Staged.To
}

// Apply makes the staged generation the volume's. From the moment in which it
// begins there is no way back; a crash is finished by the next OpenReplica.
// ErrBase: g is not what waits.
func (r *Replica) Apply(ctx context.Context, g Generation) error {
	if g == (Generation{}) || g != r.Staged() {
		return fmt.Errorf("replica: apply %s: %w: what waits is %s", g, ErrBase, r.Staged())
	}
	err := r.save(State{Generation: r.state.Generation, Applying: r.state.Staged})
	if err == nil {
		err = r.apply(ctx)
	}
	if err != nil {
		return fmt.Errorf("replica: apply %s: %w", g, err)
	}
	return nil
}

// Begun tells whether the volume holds a part of something, or all of it.
func (r *Replica) Begun() bool { return r.begun() }

// Unstage drops what waits for Apply; there being nothing is no error.
func (r *Replica) Unstage() error {
	if r.state.Staged == nil {
		return nil
	}
	if err := r.save(State{Generation: r.state.Generation}); err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	return r.store.Log().Truncate(0)
}
