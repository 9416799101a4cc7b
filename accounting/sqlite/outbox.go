package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/accounting"
)

func sortDays(days []int64) { slices.Sort(days) }

// Pending implements accounting.Store. The parcel's Host is empty: the sender
// knows what this ledger is called.
func (s *Store) Pending(ctx context.Context, limit int) (accounting.Parcel, error) {
	var p accounting.Parcel
	err := s.do(ctx, "pending", "", func(t *tx) (err error) {
		p, err = t.pending(limit)
		return err
	})
	return p, err
}

// pending takes whole changes: all that is noted up to one number.
func (t *tx) pending(limit int) (p accounting.Parcel, err error) {
	var last sql.NullInt64
	err = t.QueryRowContext(t.ctx, "SELECT max(seq) FROM (SELECT seq FROM outbox ORDER BY seq LIMIT ?)", max(limit, 1)).Scan(&last)
	if err != nil || !last.Valid {
		return p, err
	}
	p.Seq = uint64(last.Int64)
	found, err := t.QueryContext(t.ctx, `SELECT g.uuid, o.guest, o.slot, b.data FROM outbox o JOIN guest g ON g.id = o.guest
		JOIN block b ON b.guest = o.guest AND b.day = o.slot - o.slot % 86400 WHERE o.seq <= ? ORDER BY o.guest, o.slot`, last.Int64)
	if err != nil {
		return p, err
	}
	defer found.Close()
	var b *block
	var whose int64
	for found.Next() {
		var id, data sql.RawBytes
		var guest, slot int64
		if err := found.Scan(&id, &guest, &slot, &data); err != nil {
			return p, err
		}
		at := time.Unix(slot, 0).UTC()
		if b == nil || guest != whose || at.Truncate(day) != b.start {
			if b, err = decode(at.Truncate(day), data); err != nil {
				return p, err
			}
			whose = guest
		}
		r := b.row(uuid.UUID(id), b.place(at))
		if b.step != accounting.SlotLength {
			r.Flags |= accounting.Coarse
		}
		p.Rows = append(p.Rows, r)
	}
	return p, found.Err()
}

// Sent implements accounting.Store. What changed again since it was sent has a
// higher number, and stays.
func (s *Store) Sent(ctx context.Context, acked uint64) error {
	return s.do(ctx, "sent", "", func(t *tx) error {
		var last int64
		err := t.QueryRowContext(t.ctx, "SELECT value FROM counter WHERE name = 'seq'").Scan(&last)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if acked > uint64(last) {
			return fmt.Errorf("change %d was acknowledged, the last one here is %d: %w", acked, last, accounting.ErrBehind)
		}
		return t.exec("DELETE FROM outbox WHERE seq <= ?", int64(acked))
	})
}

// Push implements accounting.Sink: this ledger collects another host's rows.
func (s *Store) Push(ctx context.Context, p accounting.Parcel) (acked uint64, err error) {
	err = s.do(ctx, "push", p.Host, func(t *tx) error {
		if err := p.Validate(); err != nil {
			return err
		}
		var have int64
		err := t.QueryRowContext(t.ctx, "SELECT seq FROM peer WHERE host = ?", p.Host).Scan(&have)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if acked = uint64(have); acked >= p.Seq {
			return nil
		}
		acked = p.Seq
		w, err := t.writer()
		if err != nil {
			return err
		}
		defer w.close()
		if err := w.setAll(p.Host, p.Rows); err != nil {
			return err
		}
		return t.exec("INSERT OR REPLACE INTO peer VALUES (?, ?)", p.Host, int64(p.Seq))
	})
	if err != nil {
		return 0, err
	}
	return acked, nil
}

// Prune implements accounting.Store. A block becomes one of hours, then one of
// a single day; rows come out of it as long as the ledger lives.
func (s *Store) Prune(ctx context.Context, now time.Time, keep accounting.Retention) error {
	slots, hours := keep.Bounds(now)
	for _, c := range []struct {
		before time.Time
		step   time.Duration
	}{{slots, time.Hour}, {hours, day}} {
		for more := true; more; { // in pieces, so that readings come in between
			err := s.do(ctx, "prune", "", func(t *tx) (err error) {
				more, err = t.prune(c.before, c.step)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tx) prune(before time.Time, step time.Duration) (more bool, err error) {
	type place struct{ guest, start int64 }
	const piece = 500
	old := map[place][]byte{}
	found, err := t.QueryContext(t.ctx, "SELECT guest, day, data FROM block WHERE day < ? AND step < ? LIMIT ?", before.Unix(), int64(step/time.Second), piece)
	if err != nil {
		return false, err
	}
	defer found.Close()
	for found.Next() {
		var p place
		var data []byte
		if err := found.Scan(&p.guest, &p.start, &data); err != nil {
			return false, err
		}
		old[p] = data
	}
	if err := found.Err(); err != nil {
		return false, err
	}
	for p, data := range old {
		b, err := decode(time.Unix(p.start, 0).UTC(), data)
		if err != nil {
			return false, err
		}
		err = t.exec("UPDATE block SET step = ?, data = ? WHERE guest = ? AND day = ?", int64(step/time.Second), b.coarser(step).encode(), p.guest, p.start)
		if err != nil {
			return false, err
		}
	}
	return len(old) == piece, nil
}

// sortQuotas orders them by guest.
func sortQuotas(all []accounting.Quota) {
	slices.SortFunc(all, func(a, b accounting.Quota) int { return cmp.Compare(a.Guest.String(), b.Guest.String()) })
}
