package postgres_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/accountingtest"
	"github.com/xenhost/xenhost/accounting/postgres"
	"github.com/xenhost/xenhost/accounting/sqlite"
)

func open(t *testing.T, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func TestSink(t *testing.T) {
	server := newServer(t)
	n := 0
	accountingtest.TestSink(t, func(t *testing.T) accountingtest.SinkReader {
		n++
		return open(t, server.database(t, fmt.Sprint("suite", n)))
	})
}

// midnight is in the last hours of a month, so that there are two partitions.
var midnight = time.Date(2026, 11, 30, 20, 0, 0, 0, time.UTC)

func always() accounting.Query {
	return accounting.Query{All: true, From: midnight.AddDate(-1, 0, 0), To: midnight.AddDate(1, 0, 0)}
}

// TestStopped: two hosts send from their outboxes while the server is crashed and
// started again, several times, in the middle of a push or between. In the end it
// has what they have, to the byte.
func TestStopped(t *testing.T) {
	server := newServer(t)
	all := open(t, server.database(t, "fleet"))
	hosts := map[string]*sqlite.Store{}
	for _, name := range []string{"curacao", "islay"} {
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), name), &sqlite.Options{Outbox: true})
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Close() })
		hosts[name] = s
	}
	read := func(i int) {
		for _, s := range hosts {
			var samples []accounting.Sample
			for g := range 50 {
				samples = append(samples, accountingtest.Counted(uuid.UUID{0: 1, 15: byte(g)}, "a", uint64(i*(1000+g))))
			}
			require.NoError(t, s.Fold(t.Context(), accountingtest.Reading(midnight, time.Duration(1+i)*time.Minute, samples...)))
		}
	}
	const crashes, readings = 3, 100
	done := make(chan struct{})
	crashed := make(chan struct{})
	go func() {
		defer close(crashed)
		for range crashes {
			server.crash(t)
			server.start(t)
		}
		close(done)
	}()
	failed, sent := 0, 0
	for i, going := 0, true; going || i < readings; i++ {
		select {
		case <-done:
			going = false
		default:
		}
		read(i)
		for name, s := range hosts {
			n, err := accounting.Send(t.Context(), s, all, name, 120)
			sent += n
			if err != nil {
				failed++
			}
		}
	}
	<-crashed
	for name, s := range hosts {
		_, err := accounting.Send(t.Context(), s, all, name, 1000)
		require.NoError(t, err)
	}
	require.Positive(t, failed, "the crashes were noticed")
	want := accountingtest.New()
	for name, s := range hosts {
		p := accounting.Parcel{Host: name, Seq: 1, Rows: accountingtest.Rows(t, s, always())}
		_, err := want.Push(t.Context(), p)
		require.NoError(t, err)
	}
	rows := accountingtest.Rows(t, all, always())
	assert.Equal(t, accountingtest.Rows(t, want, always()), rows)
	require.NotEmpty(t, rows)
	t.Logf("RESULT %d rows sent through %d crashes, %d sends failed: %d rows, equal to the byte", sent, crashes, failed, len(rows))

	require.NoError(t, all.Prune(t.Context(), midnight.AddDate(0, 0, 1)))
	for _, r := range accountingtest.Rows(t, all, always()) {
		require.Equal(t, time.December, r.Start.Month())
	}
}
