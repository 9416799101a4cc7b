package accountingtest

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/accounting"
)

// Prune implements accounting.Store.
func (l *Memory) Prune(ctx context.Context, now time.Time, keep accounting.Retention) error {
	slots, hours := keep.Bounds(now)
	return l.do(ctx, "prune", "", func() error {
		for o, rows := range l.rows {
			next := map[int64]cell{}
			for _, c := range rows {
				switch {
				case c.row.Start.Before(hours):
					c.step = day
				case c.row.Start.Before(slots):
					c.step = max(c.step, time.Hour)
				}
				c.row.Start = c.row.Start.Truncate(c.step)
				have := next[c.row.Start.Unix()]
				c.row.Usage.Add(have.row.Usage)
				c.row.Flags |= have.row.Flags
				c.seq = max(c.seq, have.seq)
				next[c.row.Start.Unix()] = c
			}
			l.rows[o] = next
		}
		return nil
	})
}

// Freeze implements accounting.Reader.
func (l *Memory) Freeze(ctx context.Context, want accounting.Statement) (kept accounting.Statement, err error) {
	err = l.do(ctx, "freeze", want.Guest.String(), func() error {
		if err := want.Final(); err != nil {
			return err
		}
		for _, s := range l.frozen[want.Guest] {
			if s.Period.Start.Before(want.Period.End) && want.Period.Start.Before(s.Period.End) {
				kept = s
				return s.Replaces(want)
			}
		}
		kept = want
		l.frozen[want.Guest] = append(l.frozen[want.Guest], want)
		return nil
	})
	if err != nil {
		return accounting.Statement{}, err
	}
	return kept, nil
}

// Frozen implements accounting.Reader.
func (l *Memory) Frozen(ctx context.Context, guest uuid.UUID, start time.Time) (kept accounting.Statement, err error) {
	err = l.do(ctx, "frozen", guest.String(), func() error {
		for _, s := range l.frozen[guest] {
			if s.Period.Start.Equal(start) {
				kept = s
				return nil
			}
		}
		return fs.ErrNotExist
	})
	return kept, err
}

// Quotas implements accounting.Store.
func (l *Memory) Quotas(ctx context.Context) (all []accounting.Quota, err error) {
	err = l.do(ctx, "quotas", "", func() error {
		all = slices.SortedFunc(maps.Values(l.quotas), func(a, b accounting.Quota) int { return bytes.Compare(a.Guest[:], b.Guest[:]) })
		return nil
	})
	return all, err
}

// SetQuota implements accounting.Store.
func (l *Memory) SetQuota(ctx context.Context, q accounting.Quota) error {
	return l.do(ctx, "set quota", q.Guest.String(), func() error {
		if err := q.Validate(); err != nil {
			return err
		}
		q.Done = slices.Clone(q.Done)
		l.quotas[q.Guest] = q
		if q.Limit == 0 {
			delete(l.quotas, q.Guest)
		}
		return nil
	})
}
