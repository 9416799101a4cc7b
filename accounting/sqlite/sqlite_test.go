package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/accountingtest"
	"github.com/xenhost/xenhost/accounting/sqlite"
)

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, &sqlite.Options{Outbox: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStore(t *testing.T) {
	paths := map[accounting.Store]string{}
	accountingtest.TestStore(t, func(t *testing.T) accounting.Store {
		path := filepath.Join(t.TempDir(), "a ledger?%.db")
		s := open(t, path)
		paths[s] = path
		return s
	}, func(t *testing.T, s accounting.Store) accounting.Store {
		require.NoError(t, s.Close())
		again := open(t, paths[s])
		paths[again] = paths[s]
		return again
	})
}
