// Package islandtest has islands without a kernel (Fake), and the suite that
// every island.Manager must pass (TestManager).
package islandtest

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/island"
)

// Fake is a host's islands in memory. It is safe for concurrent use.
type Fake struct {
	mu      sync.Mutex
	has     map[uuid.UUID]island.Island
	outs    []string
	foreign map[string]bool
}

var _ island.Manager = (*Fake)(nil)

// New returns a host with these interfaces to the world; without any it has
// xenext.
func New(outs ...string) *Fake {
	if len(outs) == 0 {
		outs = []string{"xenext"}
	}
	return &Fake{has: map[uuid.UUID]island.Island{}, outs: outs, foreign: map[string]bool{}}
}

// Occupy makes an interface that is somebody else's.
func (f *Fake) Occupy(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.foreign[name] = true
}

// Set implements island.Manager.
func (f *Fake) Set(ctx context.Context, want island.Island) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := cmp.Or(want.Validate(), ctx.Err()); err != nil {
		return failed("set", want.UUID, err)
	}
	if want.Out != "" && !slices.Contains(f.outs, want.Out) {
		return failed("set", want.UUID, fmt.Errorf("interface %s: %w", want.Out, fs.ErrNotExist))
	}
	for n := range want.Links {
		name := island.BridgeName(want.UUID, n)
		taken := f.foreign[name]
		for id := range f.has {
			taken = taken || id != want.UUID && island.BridgeName(id, n) == name
		}
		if taken {
			return failed("set", want.UUID, fmt.Errorf("%s: %w", name, network.ErrForeign))
		}
	}
	f.has[want.UUID] = want
	return nil
}

// Remove implements island.Manager.
func (f *Fake) Remove(ctx context.Context, id uuid.UUID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return failed("remove", id, err)
	}
	delete(f.has, id)
	return nil
}

// List implements island.Manager.
func (f *Fake) List(ctx context.Context) ([]uuid.UUID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, &island.Error{Op: "list", Err: err}
	}
	var all []uuid.UUID
	for id := range f.has {
		all = append(all, id)
	}
	slices.SortFunc(all, func(a, b uuid.UUID) int { return cmp.Compare(a.String(), b.String()) })
	return all, nil
}

// Island returns a guest's island; ok is false if there is none.
func (f *Fake) Island(id uuid.UUID) (i island.Island, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok = f.has[id]
	return i, ok
}

func failed(op string, id uuid.UUID, err error) error {
	return &island.Error{Op: op, Name: id.String(), Err: err}
}
