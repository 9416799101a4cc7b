package sqlite

import (
	"context"
	"database/sql"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/accounting"
)

// Rows implements accounting.Reader.
func (s *Store) Rows(ctx context.Context, q accounting.Query) iter.Seq2[accounting.Row, error] {
	return func(yield func(accounting.Row, error) bool) {
		if err := s.rows(ctx, q, yield); err != nil {
			yield(accounting.Row{}, &accounting.Error{Op: "rows", Err: err})
		}
	}
}

func (s *Store) rows(ctx context.Context, q accounting.Query, yield func(accounting.Row, error) bool) error {
	if q.Step == 0 {
		q.Step = accounting.SlotLength
	}
	query := "SELECT g.uuid, b.day, b.data FROM guest g CROSS JOIN block b ON b.guest = g.id AND b.day > ? AND b.day <= ? "
	args := []any{q.From.Add(-day).Unix(), q.To.Unix()}
	if !q.All {
		query += "WHERE g.uuid = ? "
		args = append(args, q.Guest[:])
	}
	found, err := s.db.QueryContext(ctx, query+"ORDER BY g.uuid, g.host", args...)
	if err != nil {
		return err
	}
	defer found.Close()
	c := collector{q: q, yield: yield, days: map[int64]*block{}}
	for found.Next() {
		var id, data sql.RawBytes
		var start int64
		if err := found.Scan(&id, &start, &data); err != nil {
			return err
		}
		b, err := decode(time.Unix(start, 0).UTC(), data)
		if err != nil {
			return err
		}
		if !c.take(uuid.UUID(id), b) {
			return nil
		}
	}
	if err := found.Err(); err != nil {
		return err
	}
	c.flush()
	return nil
}

// A collector adds up the blocks of a guest over hosts. They come by guest, and
// for each host by day.
type collector struct {
	q     accounting.Query
	yield func(accounting.Row, error) bool
	guest uuid.UUID
	days  map[int64]*block
	order []int64
}

// take takes a block; false ends it all.
func (c *collector) take(guest uuid.UUID, b *block) bool {
	if guest != c.guest {
		if !c.flush() {
			return false
		}
		c.guest = guest
	}
	start := b.start.Unix()
	have := c.days[start]
	switch {
	case have == nil:
		c.days[start] = b
		c.order = append(c.order, start)
	case have.step < b.step:
		b.join(have)
		c.days[start] = b
	default:
		have.join(b)
	}
	return true
}

// flush yields the guest's rows.
func (c *collector) flush() bool {
	sortDays(c.order)
	for _, start := range c.order {
		b := c.days[start]
		flags := accounting.Flags(0)
		if b.step > c.q.Step {
			flags = accounting.Coarse
		}
		b = b.coarser(c.q.Step)
		for i, has := range b.has {
			at := b.start.Add(time.Duration(i) * b.step)
			if !has || at.Before(c.q.From) || !at.Before(c.q.To) {
				continue
			}
			r := b.row(c.guest, i)
			r.Flags |= flags
			if !c.yield(r, nil) {
				return false
			}
		}
	}
	clear(c.days)
	c.order = c.order[:0]
	return true
}

// Totals implements accounting.Store.
func (s *Store) Totals(ctx context.Context) ([]accounting.Row, error) {
	out, err := s.totals(ctx)
	if err != nil {
		return nil, &accounting.Error{Op: "totals", Err: err}
	}
	return out, nil
}

func (s *Store) totals(ctx context.Context) ([]accounting.Row, error) {
	found, err := s.db.QueryContext(ctx, "SELECT uuid, total FROM guest WHERE host = '' AND total IS NOT NULL ORDER BY uuid")
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var out []accounting.Row
	for found.Next() {
		var id, data sql.RawBytes
		if err := found.Scan(&id, &data); err != nil {
			return nil, err
		}
		u, err := decodeUsage(data)
		if err != nil {
			return nil, err
		}
		out = append(out, accounting.Row{Guest: uuid.UUID(id), Usage: u})
	}
	return out, found.Err()
}
