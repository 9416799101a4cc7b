package shapingtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/xenhost/xenhost/shaping"
)

// fault is one planned failure.
type fault struct {
	op    string
	after bool
	err   error
}

// Fail lets the next call of op ("read", "apply", "set", "remove", "refresh" or
// "count") fail with err before it has changed anything.
func (f *Fake) Fail(op string, err error) { f.plan(fault{op, false, err}) }

// FailAfter lets the next call of op do its work and then fail with err, as
// when the connection to the host breaks before the answer comes.
func (f *Fake) FailAfter(op string, err error) { f.plan(fault{op, true, err}) }

func (f *Fake) plan(ft fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, ft)
}

// do runs one operation, unless it is cancelled or a failure is due.
func (f *Fake) do(ctx context.Context, op, name string, work func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := ctx.Err()
	if err == nil {
		var due fault
		if i := slices.IndexFunc(f.faults, func(ft fault) bool { return ft.op == op }); i >= 0 {
			due = f.faults[i]
			f.faults = slices.Delete(f.faults, i, i+1)
		}
		if err = due.err; err == nil || due.after {
			err = errors.Join(work(), due.err)
		}
	}
	if err != nil {
		return &shaping.Error{Op: op, Name: name, Err: err}
	}
	return nil
}

// bare takes the operation's name off an error, so that it gets another.
func bare(err error) error {
	var e *shaping.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// String prints the simulated host as a plan would: the uplink, and each guest
// with what was asked for; "not in force" where a vif came without its limit.
func (f *Fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	if f.state.Uplink != (shaping.Uplink{}) {
		fmt.Fprintln(&b, f.state.Uplink)
	}
	in := f.read()
	for i, g := range f.state.Guests {
		fmt.Fprint(&b, g)
		if in.Guests[i].Policy != g.Policy || in.Guests[i].Throttle != g.Throttle {
			fmt.Fprint(&b, " (not in force)")
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}
