package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

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
	switch q.Step {
	case 0:
		q.Step = accounting.SlotLength
	case accounting.SlotLength, time.Hour, 24 * time.Hour:
	default:
		return fmt.Errorf("%v: %w: %w", q.Step, errStep, accounting.ErrInvalid)
	}
	var sums strings.Builder
	for _, c := range columns() {
		fmt.Fprintf(&sums, ", sum(%s)::bigint", c)
	}
	// A row of an hour begins in the period if the hour does.
	query := fmt.Sprintf(`SELECT guest, date_bin($1, slot, 'epoch'::timestamptz) AS start, bit_or(flags)%s FROM usage5
		WHERE slot >= $2 AND slot < $3 AND ($4 OR guest = $5) GROUP BY 1, 2 ORDER BY 1, 2`, &sums)
	ceil := func(t time.Time) time.Time { // the first step that begins at t or later
		start := t.UTC().Truncate(q.Step)
		if start.Before(t) {
			start = start.Add(q.Step)
		}
		return start
	}
	found, err := s.pool.Query(ctx, query, q.Step, ceil(q.From), ceil(q.To), q.All, [16]byte(q.Guest))
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		var r accounting.Row
		var guest [16]byte
		var flags int32
		into := []any{&guest, &r.Start, &flags}
		for m := range r.Usage {
			into = append(into, &r.Usage[m])
		}
		if err := found.Scan(into...); err != nil {
			return err
		}
		r.Guest, r.Start, r.Flags = guest, r.Start.UTC(), accounting.Flags(flags)
		if !yield(r, nil) {
			return nil
		}
	}
	return found.Err()
}

// Freeze implements accounting.Reader.
func (s *Store) Freeze(ctx context.Context, want accounting.Statement) (kept accounting.Statement, err error) {
	err = s.do(ctx, "freeze", want.Guest.String(), func(tx pgx.Tx) error {
		if err := want.Final(); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, hashtext($2))", lock+1, want.Guest.String()); err != nil {
			return err
		}
		var text []byte
		err := tx.QueryRow(ctx, "SELECT json FROM statement WHERE guest = $1 AND start < $3 AND finish > $2 LIMIT 1",
			[16]byte(want.Guest), want.Period.Start, want.Period.End).Scan(&text)
		if err == nil {
			if err := json.Unmarshal(text, &kept); err != nil {
				return err
			}
			return kept.Replaces(want)
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		kept = want
		if text, err = json.Marshal(want); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO statement VALUES ($1, $2, $3, $4)", [16]byte(want.Guest), want.Period.Start, want.Period.End, string(text))
		return err
	})
	if err != nil {
		return accounting.Statement{}, err
	}
	return kept, nil
}

// Frozen implements accounting.Reader.
func (s *Store) Frozen(ctx context.Context, guest uuid.UUID, start time.Time) (kept accounting.Statement, err error) {
	var text []byte
	err = s.pool.QueryRow(ctx, "SELECT json FROM statement WHERE guest = $1 AND start = $2", [16]byte(guest), start).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fs.ErrNotExist
	}
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		return accounting.Statement{}, &accounting.Error{Op: "frozen", Name: guest.String(), Err: fmt.Errorf("statement from %s: %w", start.UTC().Format(time.RFC3339), err)}
	}
	return kept, nil
}
