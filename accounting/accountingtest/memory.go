// Package accountingtest has a ledger without a file (Memory), sources without
// a kernel (Source), and the suites that every accounting.Store and
// accounting.Sink must pass (TestStore, TestSink).
package accountingtest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/accounting"
)

const day = 24 * time.Hour

// cell is a row, which can hold more than a slot.
type cell struct {
	row  accounting.Row
	step time.Duration
	seq  uint64 // of its last change
}

// owner is whose rows: a guest's on one host; our own has no name.
type owner struct {
	guest uuid.UUID
	host  string
}

// Memory is a ledger that is gone with the process. It is safe for concurrent
// use and refuses what sqlite.Store refuses.
type Memory struct {
	mu      sync.Mutex
	sources map[string]accounting.State
	rows    map[owner]map[int64]cell
	totals  map[uuid.UUID]accounting.Usage
	seq     uint64
	sent    uint64
	peers   map[string]uint64
	frozen  map[uuid.UUID][]accounting.Statement
	quotas  map[uuid.UUID]accounting.Quota
}

var _ accounting.Store = (*Memory)(nil)

// New returns an empty ledger.
func New() *Memory {
	return &Memory{
		sources: map[string]accounting.State{}, rows: map[owner]map[int64]cell{}, totals: map[uuid.UUID]accounting.Usage{},
		peers: map[string]uint64{}, frozen: map[uuid.UUID][]accounting.Statement{}, quotas: map[uuid.UUID]accounting.Quota{},
	}
}

// do runs an operation alone, unless its context is over.
func (l *Memory) do(ctx context.Context, op, name string, work func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := ctx.Err()
	if err == nil {
		err = work()
	}
	if err != nil {
		return &accounting.Error{Op: op, Name: name, Err: err}
	}
	return nil
}

// Close implements io.Closer.
func (l *Memory) Close() error { return nil }

// Fold implements accounting.Store.
func (l *Memory) Fold(ctx context.Context, r accounting.Reading) error {
	return l.do(ctx, "fold", r.Source, func() error {
		was := l.sources[r.Source]
		c, err := accounting.Fold(was, r, accounting.FoldOptions{})
		if err != nil {
			return err
		}
		guests := maps.Clone(was.Guests)
		if guests == nil {
			guests = map[uuid.UUID]accounting.Cursors{}
		}
		maps.Copy(guests, c.State.Guests)
		c.State.Guests = guests
		l.sources[r.Source] = c.State
		if len(c.Rows) > 0 {
			l.seq++
		}
		for _, r := range c.Rows {
			l.put(owner{r.Guest, ""}, r, true)
			u := l.totals[r.Guest]
			u.Add(r.Usage)
			l.totals[r.Guest] = u
		}
		return nil
	})
}

// put adds a row, or sets it.
func (l *Memory) put(o owner, r accounting.Row, add bool) {
	if l.rows[o] == nil {
		l.rows[o] = map[int64]cell{}
	}
	step := l.step(o, r.Start)
	r.Start = r.Start.UTC().Truncate(step)
	if have, ok := l.rows[o][r.Start.Unix()]; ok && add {
		r.Usage.Add(have.row.Usage)
		r.Flags |= have.row.Flags
	}
	l.rows[o][r.Start.Unix()] = cell{r, step, l.seq}
}

// step is what the day of t is kept in.
func (l *Memory) step(o owner, t time.Time) time.Duration {
	for _, c := range l.rows[o] {
		if c.row.Start.Truncate(day).Equal(t.UTC().Truncate(day)) {
			return c.step
		}
	}
	return accounting.SlotLength
}

// Rows implements accounting.Reader.
func (l *Memory) Rows(ctx context.Context, q accounting.Query) iter.Seq2[accounting.Row, error] {
	return func(yield func(accounting.Row, error) bool) {
		var out []accounting.Row
		err := l.do(ctx, "rows", "", func() error { out = l.find(q); return nil })
		if err != nil {
			yield(accounting.Row{}, err)
			return
		}
		for _, r := range out {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (l *Memory) find(q accounting.Query) []accounting.Row {
	type place struct {
		guest uuid.UUID
		start int64
	}
	sums := map[place]accounting.Row{}
	steps := map[place]time.Duration{} // of a guest's day: the longest of the hosts'
	of := func(o owner, t time.Time) place { return place{o.guest, t.UTC().Truncate(day).Unix()} }
	for o, rows := range l.rows {
		for _, c := range rows {
			at := of(o, c.row.Start)
			steps[at] = max(steps[at], c.step, q.Step)
		}
	}
	for o, rows := range l.rows {
		if !q.All && o.guest != q.Guest {
			continue
		}
		for _, c := range rows {
			r := c.row
			step := steps[of(o, r.Start)]
			r.Start = r.Start.Truncate(step)
			if r.Start.Before(q.From) || !r.Start.Before(q.To) {
				continue
			}
			if step > max(q.Step, accounting.SlotLength) {
				r.Flags |= accounting.Coarse
			}
			have := sums[place{r.Guest, r.Start.Unix()}]
			r.Usage.Add(have.Usage)
			r.Flags |= have.Flags
			sums[place{r.Guest, r.Start.Unix()}] = r
		}
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b accounting.Row) int {
		return cmp.Or(bytes.Compare(a.Guest[:], b.Guest[:]), a.Start.Compare(b.Start))
	})
}

// Totals implements accounting.Store.
func (l *Memory) Totals(ctx context.Context) (out []accounting.Row, err error) {
	err = l.do(ctx, "totals", "", func() error {
		for guest, u := range l.totals {
			out = append(out, accounting.Row{Guest: guest, Usage: u})
		}
		slices.SortFunc(out, func(a, b accounting.Row) int { return bytes.Compare(a.Guest[:], b.Guest[:]) })
		return nil
	})
	return out, err
}

// Pending implements accounting.Store.
func (l *Memory) Pending(ctx context.Context, limit int) (p accounting.Parcel, err error) {
	err = l.do(ctx, "pending", "", func() error {
		var all []cell
		for o, rows := range l.rows {
			for _, c := range rows {
				if o.host == "" && c.seq > l.sent {
					all = append(all, c)
				}
			}
		}
		slices.SortFunc(all, func(a, b cell) int { return cmp.Compare(a.seq, b.seq) })
		for i, c := range all {
			if i >= max(limit, 1) && c.seq != p.Seq {
				break
			}
			p.Seq = c.seq
			p.Rows = append(p.Rows, c.row)
		}
		return nil
	})
	return p, err
}

// Sent implements accounting.Store.
func (l *Memory) Sent(ctx context.Context, acked uint64) error {
	return l.do(ctx, "sent", "", func() error {
		if acked > l.seq {
			return fmt.Errorf("change %d was acknowledged, the last one here is %d: %w", acked, l.seq, accounting.ErrBehind)
		}
		l.sent = max(l.sent, acked)
		return nil
	})
}

// Push implements accounting.Sink.
func (l *Memory) Push(ctx context.Context, p accounting.Parcel) (acked uint64, err error) {
	err = l.do(ctx, "push", p.Host, func() error {
		if err := p.Validate(); err != nil {
			return err
		}
		if l.peers[p.Host] < p.Seq {
			for _, r := range p.Rows {
				if l.step(owner{r.Guest, p.Host}, r.Start) != accounting.SlotLength {
					return fmt.Errorf("slots of %s come after they were pruned here: %w", r.Start.Format(time.DateOnly), accounting.ErrStale)
				}
			}
			for _, r := range p.Rows {
				l.put(owner{r.Guest, p.Host}, r, false)
			}
			l.peers[p.Host] = p.Seq
		}
		acked = l.peers[p.Host]
		return nil
	})
	return acked, err
}
