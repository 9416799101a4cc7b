package guardtest

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
)

// Fake is a guard in memory. It refuses what the real one refuses. It drops
// nothing by itself: Drop counts.
type Fake struct {
	mu     sync.Mutex
	own    guard.Dom0
	state  guard.State
	drops  guard.Drops
	faults map[string]error
}

var _ guard.Manager = (*Fake)(nil)

// New returns the guard of a host on which none is in force yet; own is what
// dom0 has.
func New(own guard.Dom0) *Fake {
	return &Fake{own: own, state: guard.State{Open: true}, faults: map[string]error{}}
}

// Fail makes the next call of op ("read", "apply", "set", "remove", "read
// drops") fail with err and change nothing.
func (f *Fake) Fail(op string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[op] = err
}

// Flush removes the rules by a hand that is not ours, as nft flush ruleset does.
func (f *Fake) Flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.drops = guard.State{Open: true}, guard.Drops{}
}

// Drop adds to the counters.
func (f *Fake) Drop(change func(*guard.Drops)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.drops)
}

// String prints what is in force, a line each.
func (f *Fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, s := range guard.Plan(guard.State{Open: true}, f.state).Steps {
		b.WriteString(s.What + "\n")
	}
	return b.String()
}

// begin is the start of a call: a fault, or a context that has ended.
func (f *Fake) begin(ctx context.Context, op string) error {
	if err, ok := f.faults[op]; ok {
		delete(f.faults, op)
		return err
	}
	return ctx.Err()
}

// Read implements guard.Manager.
func (f *Fake) Read(ctx context.Context) (guard.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(ctx, "read"); err != nil {
		return guard.State{}, &guard.Error{Op: "read", Err: err}
	}
	return f.state.Normalize(), nil
}

// Apply implements guard.Manager.
func (f *Fake) Apply(ctx context.Context, want guard.State) (network.Plan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.begin(ctx, "apply")
	if err == nil {
		err = f.check(want, want.Guests)
	}
	if err != nil {
		return network.Plan{}, &guard.Error{Op: "apply", Err: err}
	}
	plan := guard.Plan(f.state, want)
	if f.state.Open || want.Open {
		f.drops = guard.Drops{}
	}
	f.state = want.Normalize()
	return plan, nil
}

// Set implements guard.Manager.
func (f *Fake) Set(ctx context.Context, want guard.Guest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.state.With(want)
	if f.state.Open {
		next.Open, next.LetUnknown = false, true
	}
	err := f.begin(ctx, "set")
	if err == nil {
		err = f.check(next, []guard.Guest{want})
	}
	if err != nil {
		return &guard.Error{Op: "set", Name: want.UUID.String(), Err: err}
	}
	f.state = next
	return nil
}

// Remove implements guard.Manager.
func (f *Fake) Remove(ctx context.Context, id uuid.UUID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(ctx, "remove"); err != nil {
		return &guard.Error{Op: "remove", Name: id.String(), Err: err}
	}
	f.state = f.state.Without(id)
	return nil
}

// Drops implements guard.Manager.
func (f *Fake) Drops(ctx context.Context) (guard.Drops, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(ctx, "read drops"); err != nil {
		return guard.Drops{}, &guard.Error{Op: "read drops", Err: err}
	}
	return f.drops, nil
}

// check refuses what contradicts itself, and of the guests that change what is
// dom0's own.
func (f *Fake) check(next guard.State, changed []guard.Guest) error {
	if err := next.Validate(); err != nil {
		var says *guard.Error
		if errors.As(err, &says) {
			return says.Err
		}
		return err
	}

	for _, g := range changed {
		for _, p := range g.Normalize().Ports {
			if err := f.own.Refuse(p); err != nil {
				return err
			}
		}
	}
	return nil
}
