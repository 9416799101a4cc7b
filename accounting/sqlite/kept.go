package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/accounting"
)

// Freeze implements accounting.Reader.
func (s *Store) Freeze(ctx context.Context, want accounting.Statement) (kept accounting.Statement, err error) {
	err = s.do(ctx, "freeze", want.Guest.String(), func(t *tx) error {
		if err := want.Final(); err != nil {
			return err
		}
		start, end := want.Period.Start.Unix(), want.Period.End.Unix()
		found, err := t.QueryContext(t.ctx, "SELECT json FROM statement WHERE uuid = ? AND start < ? AND finish > ?", want.Guest[:], end, start)
		if err != nil {
			return err
		}
		defer found.Close()
		if found.Next() {
			var text string
			if err := found.Scan(&text); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(text), &kept); err != nil {
				return err
			}
			return kept.Replaces(want)
		}
		if err := found.Err(); err != nil {
			return err
		}
		text, err := json.Marshal(want)
		if err != nil {
			return err
		}
		kept = want
		return t.exec("INSERT INTO statement VALUES (?, ?, ?, ?)", want.Guest[:], start, end, string(text))
	})
	if err != nil {
		return accounting.Statement{}, err
	}
	return kept, nil
}

// Frozen implements accounting.Reader.
func (s *Store) Frozen(ctx context.Context, guest uuid.UUID, start time.Time) (kept accounting.Statement, err error) {
	var text string
	err = s.db.QueryRowContext(ctx, "SELECT json FROM statement WHERE uuid = ? AND start = ?", guest[:], start.Unix()).Scan(&text)
	if err == nil {
		err = json.Unmarshal([]byte(text), &kept)
	}
	if err != nil {
		return accounting.Statement{}, &accounting.Error{Op: "frozen", Name: guest.String(), Err: fmt.Errorf("statement from %s: %w", start.UTC().Format(time.RFC3339), absent(err))}
	}
	return kept, nil
}

// Quotas implements accounting.Store.
func (s *Store) Quotas(ctx context.Context) ([]accounting.Quota, error) {
	all, err := s.quotas(ctx)
	if err != nil {
		return nil, &accounting.Error{Op: "quotas", Err: err}
	}
	return all, nil
}

func (s *Store) quotas(ctx context.Context) ([]accounting.Quota, error) {
	found, err := s.db.QueryContext(ctx, "SELECT json FROM quota")
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var all []accounting.Quota
	for found.Next() {
		var text string
		var q accounting.Quota
		if err := found.Scan(&text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), &q); err != nil {
			return nil, err
		}
		all = append(all, q)
	}
	sortQuotas(all)
	return all, found.Err()
}

// SetQuota implements accounting.Store.
func (s *Store) SetQuota(ctx context.Context, q accounting.Quota) error {
	return s.do(ctx, "set quota", q.Guest.String(), func(t *tx) error {
		if err := q.Validate(); err != nil {
			return err
		}
		if q.Limit == 0 {
			return t.exec("DELETE FROM quota WHERE uuid = ?", q.Guest[:])
		}
		text, err := json.Marshal(q)
		if err != nil {
			return err
		}
		return t.exec("INSERT OR REPLACE INTO quota VALUES (?, ?)", q.Guest[:], string(text))
	})
}
