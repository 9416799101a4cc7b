package networktest

import (
	"context"
	"errors"
	"slices"

	"github.com/xenhost/xenhost/network"
)

// fault is one planned failure.
type fault struct {
	op    string
	after bool
	err   error
}

// Fail lets the next call of op ("read", "apply", "set" or "remove") fail
// with err before it has changed anything.
func (f *Fake) Fail(op string, err error) { f.plan(fault{op, false, err}) }

// FailAfter lets the next call of op do its work and then fail with err, as
// when the connection to the host breaks before the answer comes.
func (f *Fake) FailAfter(op string, err error) { f.plan(fault{op, true, err}) }

func (f *Fake) plan(ft fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, ft)
}

// begin starts an operation: it returns the failure that is due now, and a
// function that returns the one that is due at the end.
func (f *Fake) begin(ctx context.Context, op string) (done func() error, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	done = func() error { return nil }
	i := slices.IndexFunc(f.faults, func(ft fault) bool { return ft.op == op })
	if i < 0 {
		return done, nil
	}
	due := f.faults[i]
	f.faults = slices.Delete(f.faults, i, i+1)
	if due.after {
		return func() error { return due.err }, nil
	}
	return nil, due.err
}

// bare takes the operation's name off an error, so that it gets another.
func bare(err error) error {
	var e *network.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
