// Package postgres collects the ledgers of many hosts in PostgreSQL. It is a
// module of its own, so that nobody else gets its driver.
//
//	all, err := postgres.Open(ctx, "postgres://xenhost@db/xenhost", nil)
//	n, err := accounting.Send(ctx, ledger, all, "curacao", 50_000)
//
// Each host keeps its own ledger in SQLite and sends from its outbox; the
// database may be down meanwhile, or go away in the middle. Slots are rows of
// usage5, by months:
//
//	SELECT guest, sum(external_in4 + external_in6) FROM usage5 WHERE slot >= '2026-11-01' GROUP BY guest;
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/xenhost/xenhost/accounting"
)

// Store is a database. It is safe for concurrent use.
type Store struct{ pool *pgxpool.Pool }

var (
	_ accounting.Sink   = (*Store)(nil)
	_ accounting.Reader = (*Store)(nil)
)

// lock numbers our advisory locks: 1 is held while tables are made.
const lock = 0x78656e68

// Open connects to a database, and makes the tables if they are not there. url
// is a URL or a list of words as psql takes it.
func Open(ctx context.Context, url string) (*Store, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, &accounting.Error{Op: "open", Name: "postgres", Err: err}
	}
	s := &Store{pool}
	err = s.do(ctx, "open", "postgres", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, 1)", lock); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema())
		return err
	})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// Close gives the connections back.
func (s *Store) Close() { s.pool.Close() }

// columns are the metrics' names.
func columns() []string {
	var all []string
	for m := range accounting.NumMetrics {
		all = append(all, m.String())
	}
	return all
}

func schema() string {
	var b strings.Builder
	b.WriteString(`CREATE TABLE IF NOT EXISTS usage5 (guest uuid NOT NULL, slot timestamptz NOT NULL, host text NOT NULL, flags integer NOT NULL,`)
	for _, c := range columns() {
		fmt.Fprintf(&b, " %s bigint NOT NULL DEFAULT 0,", c)
	}
	b.WriteString(` PRIMARY KEY (guest, slot, host)) PARTITION BY RANGE (slot);
CREATE TABLE IF NOT EXISTS peer (host text PRIMARY KEY, seq bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS statement (guest uuid NOT NULL, start timestamptz NOT NULL, finish timestamptz NOT NULL, json jsonb NOT NULL, PRIMARY KEY (guest, start));
`)
	for _, c := range columns() { // a table of an older version
		fmt.Fprintf(&b, "ALTER TABLE usage5 ADD COLUMN IF NOT EXISTS %s bigint NOT NULL DEFAULT 0;\n", c)
	}
	return b.String()
}

// do runs a transaction: all of it or nothing.
func (s *Store) do(ctx context.Context, op, name string, work func(pgx.Tx) error) error {
	if err := pgx.BeginFunc(ctx, s.pool, work); err != nil {
		return &accounting.Error{Op: op, Name: name, Err: err}
	}
	return nil
}

// Push implements accounting.Sink.
func (s *Store) Push(ctx context.Context, p accounting.Parcel) (acked uint64, err error) {
	err = s.do(ctx, "push", p.Host, func(tx pgx.Tx) error {
		if err := p.Validate(); err != nil {
			return err
		}
		var have int64
		err := tx.QueryRow(ctx, `INSERT INTO peer (host, seq) VALUES ($1, 0) ON CONFLICT (host) DO UPDATE SET at = now() RETURNING seq`, p.Host).Scan(&have)
		if err != nil {
			return err
		}
		if acked = uint64(have); acked >= p.Seq {
			return nil
		}
		acked = p.Seq
		if err := s.months(ctx, tx, p.Rows); err != nil {
			return err
		}
		if err := upsert(ctx, tx, p); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE peer SET seq = $2 WHERE host = $1", p.Host, int64(p.Seq))
		return err
	})
	if err != nil {
		return 0, err
	}
	return acked, nil
}

// month is the first moment of the month, UTC.
func month(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// months makes the partitions that the rows need.
func (s *Store) months(ctx context.Context, tx pgx.Tx, rows []accounting.Row) error {
	made := map[time.Time]bool{}
	for _, r := range rows {
		m := month(r.Start)
		if made[m] {
			continue
		}
		made[m] = true
		name := m.Format("usage5_200601")
		var there bool
		if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", name).Scan(&there); err != nil {
			return err
		}
		if there {
			continue
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, 1)", lock); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s PARTITION OF usage5 FOR VALUES FROM ('%s') TO ('%s')",
			name, m.Format(time.RFC3339), m.AddDate(0, 1, 0).Format(time.RFC3339)))
		if err != nil {
			return err
		}
	}
	return nil
}

// upsert puts rows in place of what there is.
func upsert(ctx context.Context, tx pgx.Tx, p accounting.Parcel) error {
	if _, err := tx.Exec(ctx, "CREATE TEMP TABLE parcel (LIKE usage5 INCLUDING DEFAULTS) ON COMMIT DROP"); err != nil {
		return err
	}
	names := append([]string{"guest", "slot", "host", "flags"}, columns()...)
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"parcel"}, names, pgx.CopyFromSlice(len(p.Rows), func(i int) ([]any, error) {
		r := p.Rows[i]
		values := []any{[16]byte(r.Guest), r.Start, p.Host, int32(r.Flags)}
		for _, v := range r.Usage {
			values = append(values, v)
		}
		return values, nil
	}))
	if err != nil {
		return err
	}
	var set []string
	for _, n := range names[3:] {
		set = append(set, n+" = EXCLUDED."+n)
	}
	list := strings.Join(names, ", ")
	_, err = tx.Exec(ctx, fmt.Sprintf("INSERT INTO usage5 (%s) SELECT %[1]s FROM parcel ON CONFLICT (guest, slot, host) DO UPDATE SET %s", list, strings.Join(set, ", ")))
	return err
}

// Prune drops the months that ended before a time; bills are to be frozen
// before.
func (s *Store) Prune(ctx context.Context, before time.Time) error {
	return s.do(ctx, "prune", "postgres", func(tx pgx.Tx) error {
		found, err := tx.Query(ctx, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'usage5'::regclass")
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(found, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, name := range names {
			m, err := time.Parse("usage5_200601", name)
			if err != nil || m.AddDate(0, 1, 0).After(before) {
				continue // not one that we made, or still wanted
			}
			if _, err := tx.Exec(ctx, "DROP TABLE "+pgx.Identifier{name}.Sanitize()); err != nil {
				return err
			}
		}
		return nil
	})
}

var errStep = errors.New("a step is a slot, an hour or a day")
