package sqlite_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/accountingtest"
	"github.com/xenhost/xenhost/accounting/sqlite"
)

// feeder names the ledger that this process is to feed until it is killed, and
// feedSince when all of it began, in Unix microseconds.
const (
	feeder    = "XENHOST_TEST_FEED_LEDGER"
	feedSince = "XENHOST_TEST_FEED_SINCE"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(feeder); path != "" {
		fmt.Fprintln(os.Stderr, feed(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func fed(i int) uuid.UUID { return uuid.UUID{0: 1, 15: byte(i)} }

const fedGuests = 20

var fedFrom = time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)

// elapsed is where all counters stand: microseconds since the beginning.
func elapsed(since int64) uint64 { return uint64(time.Now().UnixMicro() - since) }

// feed reads as fast as it can. The counters are those of a machine that goes
// on whatever happens to us, and whose time is a thousand times as fast as ours.
func feed(path string) error {
	s, err := sqlite.Open(context.Background(), path, &sqlite.Options{Outbox: true})
	if err != nil {
		return err
	}
	since, err := strconv.ParseInt(os.Getenv(feedSince), 10, 64)
	if err != nil {
		return err
	}
	fmt.Println("open")
	for {
		n := elapsed(since)
		r := accountingtest.Reading(fedFrom, time.Duration(n)*time.Millisecond)
		for i := range fedGuests {
			r.Samples = append(r.Samples, accountingtest.Counted(fed(i), "a", n))
		}
		if err := s.Fold(context.Background(), r); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// TestKill kills a process that writes with SIGKILL, again and again. Whatever
// it was doing, where the counters stand and what the slots hold is one truth.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	var first uint64
	const kills = 15
	since := time.Now().Add(-time.Second).UnixMicro()
	for range kills {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), feeder+"="+path, fmt.Sprint(feedSince, "=", since))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		var word string
		_, err = fmt.Fscan(out, &word)
		require.NoError(t, err)
		require.Equal(t, "open", word)
		if first == 0 {
			_, err = fmt.Fscan(out, &first)
			require.NoError(t, err)
		}
		var told uint64 // the last one that it knows to be kept
		folds := 1 + rand.IntN(8)
		for range folds {
			_, err = fmt.Fscan(out, &told)
			require.NoError(t, err)
		}
		time.Sleep(time.Duration(rand.IntN(8)) * time.Millisecond) // anywhere in the next one
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()

		s := open(t, path)
		var kept int64
		for i := range fedGuests {
			var sum int64
			for _, r := range accountingtest.Rows(t, s, accounting.Query{Guest: fed(i), From: fedFrom, To: fedFrom.AddDate(10, 0, 0)}) {
				sum += r.Usage[accounting.ExternalIn4]
			}
			if i == 0 {
				kept = sum
			}
			require.Equal(t, kept, sum, "a reading is kept whole or not at all")
		}
		require.GreaterOrEqual(t, uint64(kept), told-first, "what was told to be kept is")
		totals, err := s.Totals(t.Context())
		require.NoError(t, err)
		require.Equal(t, kept, totals[0].Usage[accounting.ExternalIn4])
		require.NoError(t, s.Close())
	}
	s := open(t, path)
	now := elapsed(since)
	r := accountingtest.Reading(fedFrom, time.Duration(now)*time.Millisecond)
	for i := range fedGuests {
		r.Samples = append(r.Samples, accountingtest.Counted(fed(i), "a", now))
	}
	require.NoError(t, s.Fold(t.Context(), r))
	totals, err := s.Totals(t.Context())
	require.NoError(t, err)
	for _, r := range totals {
		assert.Equal(t, int64(now-first), r.Usage[accounting.ExternalIn4], "all of it, once")
	}
	t.Logf("RESULT %d kills: each byte once in %d guests", kills, len(totals))
}
