package lvmtest

import (
	"context"
	"sync/atomic"
)

// faults are what was asked for and did not happen yet.
type faults struct {
	before, after map[string]error
	write         atomic.Pointer[writeFault]
}

type writeFault struct {
	left atomic.Int64
	err  error
}

// Fail makes the next call of op return err and do nothing. The ops are the
// verbs of lvm.Manager in lower case: groups, volumes, volume, create, wipe,
// snapshot, remove, activate, deactivate, skip, tag, grow, rename, merge, create
// pool, fill, open, changed.
//
// A wipe, also the one inside Create, stops half-way instead, as if its
// process had been killed: the volume stays unwiped.
func (f *Fake) Fail(op string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set(&f.faults.before, op, err)
}

// FailAfter makes the next call of op do its work and return err all the same,
// as when the answer is lost.
func (f *Fake) FailAfter(op string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set(&f.faults.after, op, err)
}

// FailWrite makes the nth write from now (1 is the next one), through whatever
// Device, return err after half of its bytes.
func (f *Fake) FailWrite(nth int, err error) {
	w := &writeFault{err: err}
	w.left.Store(int64(nth))
	f.faults.write.Store(w)
}

func set(m *map[string]error, op string, err error) {
	if *m == nil {
		*m = make(map[string]error)
	}
	(*m)[op] = err
}

// begin returns the errors that op is to return before and after its work.
func (f *Fake) begin(ctx context.Context, op string) (after, before error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := f.faults.before[op]; err != nil && op != "wipe" {
		delete(f.faults.before, op)
		return nil, err
	}
	after = f.faults.after[op]
	delete(f.faults.after, op)
	return after, nil
}

// tear returns the error of a write that is to fail.
func (f *faults) tear() error {
	w := f.write.Load()
	if w == nil || w.left.Add(-1) != 0 {
		return nil
	}
	f.write.CompareAndSwap(w, nil)
	return w.err
}
