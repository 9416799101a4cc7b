// Package sqlite keeps a host's ledger in one SQLite file, without cgo.
//
//	ledger, err := sqlite.Open(ctx, "/var/lib/xenhost/ledger.db", nil)
//
// A reading is one transaction, synced to the disk: after a power failure the
// ledger has all of it or nothing, and the next reading goes on from there.
// Several processes may use a file at once. Of each guest and day there is one
// row, which holds the day's slots; see block. A thousand guests take about half
// a gigabyte a month.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/xenhost/xenhost/accounting"
)

// Options of Open; nil is right for a host whose ledger is its own.
type Options struct {
	// Outbox notes what is to be sent to a Sink; without a sender that calls
	// Pending and Sent it grows for ever.
	Outbox bool
	// Fold says when a reading is late.
	Fold accounting.FoldOptions
}

// Store is a ledger in a file. It is safe for concurrent use.
type Store struct {
	db   *sql.DB
	opts Options
}

var _ accounting.Store = (*Store)(nil)

// schemaVersion is in PRAGMA user_version.
const schemaVersion = 1

const schema = `
CREATE TABLE guest (id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, host TEXT NOT NULL, total BLOB, UNIQUE (uuid, host));
CREATE TABLE block (guest INTEGER NOT NULL, day INTEGER NOT NULL, step INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (guest, day)) WITHOUT ROWID;
CREATE TABLE source (name TEXT PRIMARY KEY, boot TEXT NOT NULL, uptime INTEGER NOT NULL, time INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE cursor (source TEXT NOT NULL, uuid BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (source, uuid)) WITHOUT ROWID;
CREATE TABLE outbox (seq INTEGER NOT NULL, guest INTEGER NOT NULL, slot INTEGER NOT NULL, PRIMARY KEY (guest, slot)) WITHOUT ROWID;
CREATE INDEX outbox_seq ON outbox (seq);
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE peer (host TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE statement (uuid BLOB NOT NULL, start INTEGER NOT NULL, finish INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY (uuid, start)) WITHOUT ROWID;
CREATE TABLE quota (uuid BLOB PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
`

// Open opens a ledger, and makes the file if there is none; its folder must
// be there.
func Open(ctx context.Context, path string, opts *Options) (*Store, error) {
	if opts == nil {
		opts = &Options{}
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, &accounting.Error{Op: "open", Name: path, Err: err}
	}
	pragmas := url.Values{"_pragma": {"busy_timeout(20000)", "journal_mode(WAL)", "synchronous(FULL)"}, "_txlock": {"immediate"}}
	name := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: pragmas.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, &accounting.Error{Op: "open", Name: path, Err: err}
	}
	s := &Store{db: db, opts: *opts}
	if err := s.do(ctx, "open", path, setUp); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func setUp(tx *tx) error {
	var version int
	if err := tx.QueryRowContext(tx.ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch version {
	case schemaVersion:
		return nil
	case 0:
		return tx.exec(schema + fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
	}
	return fmt.Errorf("the ledger has version %d, this program knows %d: %w", version, schemaVersion, errors.ErrUnsupported)
}

// Close implements io.Closer.
func (s *Store) Close() error { return s.db.Close() }

// tx is a transaction that writes.
type tx struct {
	*sql.Tx
	ctx context.Context
}

func (t *tx) exec(query string, args ...any) error {
	_, err := t.ExecContext(t.ctx, query, args...)
	return err
}

// do runs a transaction: all of it or nothing.
func (s *Store) do(ctx context.Context, op, name string, work func(*tx) error) error {
	err := func() error {
		t, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer t.Rollback() //nolint:errcheck // after Commit it does nothing
		if err := work(&tx{t, ctx}); err != nil {
			return err
		}
		return t.Commit()
	}()
	if err != nil {
		return &accounting.Error{Op: op, Name: name, Err: err}
	}
	return nil
}

// absent turns sql's word for no row into the usual one.
func absent(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fs.ErrNotExist
	}
	return err
}
