package replica

import (
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Group runs the replication of many guests to one peer.
type Group struct {
	Host *host.Host
	Peer Peer
	// Parallel is how many guests are copied at once; 0 is 4.
	Parallel int
	// Options are those of each run; Limit is shared by all of them.
	Options Options
	// Done is called when the run of a guest has ended, from one goroutine at a
	// time; nil is nobody.
	Done func(Result)
}

// Result is how the run of one guest ended.
type Result struct {
	Report Report `json:"report"`
	Err    error  `json:"-"`
	Error  string `json:"error,omitempty"` // of Err
}

// Run makes a new generation of each guest, those whose last one is oldest
// first, and waits for all of them. One that fails does not hold up the others.
// nil is all guests that the host owns, also those that are off. The results
// are in the order in which they were begun; the error is of what prevented all
// of them.
func (g Group) Run(ctx context.Context, guests []uuid.UUID) ([]Result, error) {
	if guests == nil {
		var err error
		if guests, err = owned(ctx, g.Host); err != nil {
			return nil, err
		}
	}
	guests, err := g.oldestFirst(guests)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(guests))
	next := make(chan int)
	var all sync.WaitGroup
	var said sync.Mutex
	workers := g.Parallel
	if workers <= 0 {
		workers = 4
	}
	if report := g.Options.Progress; report != nil {
		var mu sync.Mutex
		g.Options.Progress = func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			report(e)
		}
	}
	for range min(workers, len(guests)) {
		all.Go(func() {
			for i := range next {
				results[i] = g.one(ctx, guests[i])
				if g.Done != nil {
					said.Lock()
					g.Done(results[i])
					said.Unlock()
				}
			}
		})
	}
	for i := range guests {
		next <- i
	}
	close(next)
	all.Wait()
	return results, nil
}

func (g Group) one(ctx context.Context, guest uuid.UUID) Result {
	r := Result{Report: Report{UUID: guest, From: g.Host.Name(), To: g.Peer.Name()}}
	plan, err := PlanCopy(ctx, g.Host, g.Peer, guest, &g.Options)
	if err == nil {
		r.Report, err = plan.Run(ctx)
	}
	if r.Err = err; err != nil {
		r.Error = err.Error()
	}
	return r
}

// owned are the guests that a host owns and that are in no move.
func owned(ctx context.Context, h *host.Host) ([]uuid.UUID, error) {
	all, err := h.Guests(ctx)
	if err != nil {
		return nil, err
	}
	guests := []uuid.UUID{}
	for _, s := range all {
		if s.Owner.State == owner.Running {
			guests = append(guests, s.Owner.UUID)
		}
	}
	return guests, nil
}

// oldestFirst goes by what is remembered here.
func (g Group) oldestFirst(guests []uuid.UUID) ([]uuid.UUID, error) {
	taken := make(map[uuid.UUID]int64, len(guests))
	for _, id := range guests {
		c, err := recall(g.Host, id, g.Peer.Name())
		if err != nil {
			return nil, err
		}
		if c.Last != nil {
			taken[id] = c.Last.Taken.UnixNano()
		}
	}
	guests = slices.Clone(guests)
	slices.SortStableFunc(guests, func(a, b uuid.UUID) int {
		switch {
		case taken[a] < taken[b]:
			return -1
		case taken[a] > taken[b]:
			return 1
		}
		return 0
	})
	return guests, nil
}
