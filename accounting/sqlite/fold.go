package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/accounting"
)

// Fold implements accounting.Store.
func (s *Store) Fold(ctx context.Context, r accounting.Reading) error {
	return s.do(ctx, "fold", r.Source, func(t *tx) error {
		was, err := t.state(r.Source)
		if err != nil {
			return err
		}
		change, err := accounting.Fold(was, r, s.opts.Fold)
		if err != nil {
			return err
		}
		if err := t.saveState(r.Source, change.State); err != nil {
			return err
		}
		w, err := t.writer()
		if err != nil {
			return err
		}
		defer w.close()
		if s.opts.Outbox && len(change.Rows) > 0 {
			if w.seq, err = t.next("seq"); err != nil {
				return err
			}
		}
		return w.addAll(change.Rows)
	})
}

// state reads where a source stands.
func (t *tx) state(source string) (accounting.State, error) {
	var s accounting.State
	var uptime, at int64
	err := t.QueryRowContext(t.ctx, "SELECT boot, uptime, time FROM source WHERE name = ?", source).Scan(&s.Boot, &uptime, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Uptime, s.Time, s.Guests = time.Duration(uptime), time.Unix(0, at).UTC(), map[uuid.UUID]accounting.Cursors{}
	rows, err := t.QueryContext(t.ctx, "SELECT uuid, data FROM cursor WHERE source = ?", source)
	if err != nil {
		return s, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, data sql.RawBytes
		if err := rows.Scan(&id, &data); err != nil {
			return s, err
		}
		guest, err := uuid.FromBytes(id)
		if err != nil {
			return s, err
		}
		if s.Guests[guest], err = decodeCursors(data); err != nil {
			return s, err
		}
	}
	return s, rows.Err()
}

// saveState writes what changed of it. Cursors of guests that are gone stay:
// they tell whether one that comes back is the same.
func (t *tx) saveState(source string, s accounting.State) error {
	err := t.exec("INSERT OR REPLACE INTO source VALUES (?, ?, ?, ?)", source, s.Boot, int64(s.Uptime), s.Time.UnixNano())
	if err != nil {
		return err
	}
	put, err := t.PrepareContext(t.ctx, "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)")
	if err != nil {
		return err
	}
	defer put.Close()
	for guest, cursors := range s.Guests {
		if _, err := put.ExecContext(t.ctx, source, guest[:], encodeCursors(cursors)); err != nil {
			return err
		}
	}
	return nil
}

// next raises a counter that no crash sets back.
func (t *tx) next(name string) (n int64, err error) {
	err = t.QueryRowContext(t.ctx, "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value", name).Scan(&n)
	return n, err
}
