package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/accounting"
)

// A writer changes blocks within one transaction.
type writer struct {
	*tx
	seq int64 // of this change, for the outbox; 0 is none

	find, insert, load, store, total, setTotal, note *sql.Stmt
}

func (t *tx) writer() (*writer, error) {
	w := &writer{tx: t}
	for into, query := range map[**sql.Stmt]string{
		&w.find:     "SELECT id FROM guest WHERE uuid = ? AND host = ?",
		&w.insert:   "INSERT INTO guest (uuid, host) VALUES (?, ?) RETURNING id",
		&w.load:     "SELECT data FROM block WHERE guest = ? AND day = ?",
		&w.store:    "INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?)",
		&w.total:    "SELECT total FROM guest WHERE id = ?",
		&w.setTotal: "UPDATE guest SET total = ? WHERE id = ?",
		&w.note:     "INSERT OR REPLACE INTO outbox (seq, guest, slot) VALUES (?, ?, ?)",
	} {
		var err error
		if *into, err = t.PrepareContext(t.ctx, query); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

func (w *writer) close() {
	for _, s := range []*sql.Stmt{w.find, w.insert, w.load, w.store, w.total, w.setTotal, w.note} {
		if s != nil {
			_ = s.Close()
		}
	}
}

// id is the number of a guest's rows of one host; our own has no name.
func (w *writer) id(guest uuid.UUID, host string) (id int64, err error) {
	err = w.find.QueryRowContext(w.ctx, guest[:], host).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = w.insert.QueryRowContext(w.ctx, guest[:], host).Scan(&id)
	}
	return id, err
}

// byGuest collects rows, by guest and day.
func byGuest(rows []accounting.Row) map[uuid.UUID]map[time.Time][]accounting.Row {
	out := map[uuid.UUID]map[time.Time][]accounting.Row{}
	for _, r := range rows {
		if out[r.Guest] == nil {
			out[r.Guest] = map[time.Time][]accounting.Row{}
		}
		d := r.Start.UTC().Truncate(day)
		out[r.Guest][d] = append(out[r.Guest][d], r)
	}
	return out
}

// addAll adds a reading's rows to our own, to the totals and to the outbox.
func (w *writer) addAll(rows []accounting.Row) error {
	for guest, days := range byGuest(rows) {
		id, err := w.id(guest, "")
		if err != nil {
			return err
		}
		var sum accounting.Usage
		for start, rows := range days {
			err := w.change(id, start, func(b *block) error {
				for _, r := range rows {
					b.add(r)
					sum.Add(r.Usage)
				}
				return nil
			})
			if err != nil {
				return err
			}
			for _, r := range rows {
				if w.seq == 0 {
					break
				}
				if _, err := w.note.ExecContext(w.ctx, w.seq, id, r.Start.Unix()); err != nil {
					return err
				}
			}
		}
		if err := w.raise(id, sum); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) raise(id int64, by accounting.Usage) error {
	var data []byte
	if err := w.total.QueryRowContext(w.ctx, id).Scan(&data); err != nil {
		return err
	}
	u, err := decodeUsage(data)
	if err != nil {
		return err
	}
	u.Add(by)
	_, err = w.setTotal.ExecContext(w.ctx, encodeUsage(u), id)
	return err
}

// change reads, changes and writes one block.
func (w *writer) change(id int64, start time.Time, f func(*block) error) error {
	var data []byte
	err := w.load.QueryRowContext(w.ctx, id, start.Unix()).Scan(&data)
	var b *block
	switch {
	case errors.Is(err, sql.ErrNoRows):
		b = newBlock(start, accounting.SlotLength)
	case err != nil:
		return err
	default:
		if b, err = decode(start, data); err != nil {
			return err
		}
	}
	if err := f(b); err != nil {
		return err
	}
	_, err = w.store.ExecContext(w.ctx, id, start.Unix(), int64(b.step/time.Second), b.encode())
	return err
}

// setAll puts another host's rows in place of what we have of it.
func (w *writer) setAll(host string, rows []accounting.Row) error {
	for guest, days := range byGuest(rows) {
		id, err := w.id(guest, host)
		if err != nil {
			return err
		}
		for start, rows := range days {
			err := w.change(id, start, func(b *block) error {
				if b.step != accounting.SlotLength {
					return fmt.Errorf("slots of %s come after they were pruned here: %w", start.Format(time.DateOnly), accounting.ErrStale)
				}
				for _, r := range rows {
					b.set(r)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
