package dom0test

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/xenhost/xenhost/xen/dom0"
)

// Func makes a Runner of a function.
type Func func(ctx context.Context, cmd dom0.Cmd) error

// Run calls f.
func (f Func) Run(ctx context.Context, cmd dom0.Cmd) error { return f(ctx, cmd) }

// Fault makes chosen commands of another Runner fail. Commands are counted from
// 1 in the order in which they start. To stop the world after k commands, as a
// crash does, let Before return an error for every n > k.
type Fault struct {
	Runner dom0.Runner
	// Before is asked before command n; if it returns an error, the command
	// does not run, and the caller gets an *dom0.Error around it. nil lets all
	// run.
	Before func(n int, cmd dom0.Cmd) error
	// After is told how command n ended, and says what the caller is told. nil
	// passes the error on.
	After func(n int, cmd dom0.Cmd, err error) error

	n atomic.Int64
}

// Run runs cmd unless Before objects.
func (f *Fault) Run(ctx context.Context, cmd dom0.Cmd) error {
	n := int(f.n.Add(1))
	if f.Before != nil {
		if err := f.Before(n, cmd); err != nil {
			return &dom0.Error{Args: slices.Clone(cmd.Args), ExitCode: -1, Err: err}
		}
	}
	err := f.Runner.Run(ctx, cmd)
	if f.After != nil {
		err = f.After(n, cmd, err)
	}
	return err
}
