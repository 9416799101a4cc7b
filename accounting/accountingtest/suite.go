package accountingtest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/accounting"
)

// web1 and db1 are the suite's guests; a day begins at midnight.
func web1() uuid.UUID { return uuid.MustParse("7f3a0000-0000-4000-8000-000000000001") }
func db1() uuid.UUID  { return uuid.MustParse("7f3a0000-0000-4000-8000-000000000002") }

func midnight() time.Time { return time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC) }

// Reading is one of a boot that began at a time, so long after it.
func Reading(began time.Time, uptime time.Duration, samples ...accounting.Sample) accounting.Reading {
	return accounting.Reading{Source: "test", Boot: began.Format(time.RFC3339), Uptime: uptime, Time: began.Add(uptime), Samples: samples}
}

// Counted is a sample of what came in from outside.
func Counted(guest uuid.UUID, epoch string, value uint64) accounting.Sample {
	return accounting.Sample{Guest: guest, Key: accounting.Key{Dev: "0", Metric: accounting.ExternalIn4}, Epoch: epoch, Value: value}
}

// Rows reads all that a query finds.
func Rows(t testing.TB, r accounting.Reader, q accounting.Query) (out []accounting.Row) {
	t.Helper()
	for row, err := range r.Rows(t.Context(), q) {
		require.NoError(t, err)
		out = append(out, row)
	}
	return out
}

// always is a query for all time.
func always(step time.Duration) accounting.Query {
	return accounting.Query{All: true, From: midnight().AddDate(-10, 0, 0), To: midnight().AddDate(10, 0, 0), Step: step}
}

func sum(rows []accounting.Row) (u accounting.Usage) {
	for _, r := range rows {
		u.Add(r.Usage)
	}
	return u
}

// TestStore is what every accounting.Store must do. open makes an empty one,
// which notes what is to be sent; reopen, if it is not nil, opens the same one
// again after it was closed.
func TestStore(t *testing.T, open func(t *testing.T) accounting.Store, reopen func(t *testing.T, s accounting.Store) accounting.Store) {
	if reopen == nil {
		reopen = func(_ *testing.T, s accounting.Store) accounting.Store { return s }
	}
	t.Run("fold", func(t *testing.T) { testFold(t, open(t), reopen) })
	t.Run("steps", func(t *testing.T) { testSteps(t, open(t)) })
	t.Run("prune", func(t *testing.T) { testPrune(t, open(t)) })
	t.Run("outbox", func(t *testing.T) { testOutbox(t, open(t), open(t), reopen) })
	t.Run("restored", func(t *testing.T) { testRestored(t, open) })
	t.Run("quota", func(t *testing.T) { testQuota(t, open(t), reopen) })
	t.Run("many", func(t *testing.T) { testMany(t, open(t)) })
	TestSink(t, func(t *testing.T) SinkReader { return open(t) })
}

func testFold(t *testing.T, s accounting.Store, reopen func(*testing.T, accounting.Store) accounting.Store) {
	began := midnight()
	require.NoError(t, s.Fold(t.Context(), Reading(began, time.Minute, Counted(web1(), "a", 100))))
	assert.Empty(t, Rows(t, s, always(0)), "the first reading only says where counters stand")
	require.NoError(t, s.Fold(t.Context(), Reading(began, 2*time.Minute, Counted(web1(), "a", 150))))
	require.ErrorIs(t, s.Fold(t.Context(), Reading(began, 2*time.Minute, Counted(web1(), "a", 150))), accounting.ErrStale)
	s = reopen(t, s)
	require.ErrorIs(t, s.Fold(t.Context(), Reading(began, time.Minute, Counted(web1(), "a", 100))), accounting.ErrStale)
	require.NoError(t, s.Fold(t.Context(), Reading(began, 3*time.Minute, Counted(web1(), "b", 7), Counted(db1(), "c", 5))))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Fold(ctx, Reading(began, 4*time.Minute, Counted(web1(), "b", 9000))), context.Canceled)
	require.ErrorIs(t, s.Fold(t.Context(), Reading(began, 4*time.Minute, Counted(web1(), "", 9000))), accounting.ErrInvalid)

	want := []accounting.Row{
		{Guest: web1(), Start: began, Usage: accounting.Usage{accounting.ExternalIn4: 57}, Flags: accounting.New},
		{Guest: db1(), Start: began, Usage: accounting.Usage{accounting.ExternalIn4: 5}, Flags: accounting.New},
	}
	assert.Equal(t, want, Rows(t, s, always(0)))
	assert.Equal(t, want[1:], Rows(t, s, accounting.Query{Guest: db1(), From: began, To: began.Add(1)}))
	assert.Empty(t, Rows(t, s, accounting.Query{Guest: db1(), From: began.Add(1), To: began.Add(time.Hour)}))
	assert.Empty(t, Rows(t, s, accounting.Query{Guest: db1(), From: began.Add(-time.Hour), To: began}))
	for range s.Rows(t.Context(), always(0)) {
		break // a caller may have enough
	}

	require.NoError(t, s.Fold(t.Context(), Reading(began, 11*time.Minute, Counted(web1(), "b", 7+480), Counted(db1(), "c", 5))))
	assert.Len(t, Rows(t, s, accounting.Query{Guest: web1(), From: began, To: began.Add(time.Hour)}), 3)
	assert.Equal(t, int64(57+480), sum(Rows(t, s, accounting.Query{Guest: web1(), From: began, To: began.Add(time.Hour)}))[accounting.ExternalIn4])
	totals, err := s.Totals(t.Context())
	require.NoError(t, err)
	require.Len(t, totals, 2)
	assert.Equal(t, int64(57+480), totals[0].Usage[accounting.ExternalIn4])
}

// fill lets web1 use 1 byte a second from a time on, for days.
func fill(t *testing.T, s accounting.Store, from time.Time, days int) {
	t.Helper()
	for i := range days + 1 {
		uptime := time.Minute + time.Duration(i)*day
		require.NoError(t, s.Fold(t.Context(), Reading(from.Add(-time.Minute), uptime, Counted(web1(), "a", uint64(i)*86400))))
	}
}

func testSteps(t *testing.T, s accounting.Store) {
	fill(t, s, midnight(), 3)
	for step, n := range map[time.Duration]int{0: 3 * 288, accounting.SlotLength: 3 * 288, time.Hour: 72, day: 3} {
		rows := Rows(t, s, always(step))
		require.Len(t, rows, n)
		for i, r := range rows {
			length := max(step, accounting.SlotLength)
			assert.Equal(t, midnight().Add(time.Duration(i)*length), r.Start)
			assert.Equal(t, int64(length/time.Second), r.Usage[accounting.ExternalIn4])
			assert.Equal(t, accounting.Gap, r.Flags)
		}
	}
	part := accounting.Query{Guest: web1(), From: midnight().Add(23 * time.Hour), To: midnight().Add(26 * time.Hour), Step: time.Hour}
	assert.Len(t, Rows(t, s, part), 3, "over midnight")
}

func testPrune(t *testing.T, s accounting.Store) {
	fill(t, s, midnight(), 4)
	now := midnight().AddDate(0, 0, 4)
	require.NoError(t, s.Prune(t.Context(), now, accounting.Retention{}))
	assert.Len(t, Rows(t, s, always(0)), 4*288, "nothing is old enough")
	keep := accounting.Retention{Slots: 2*day + time.Hour, Hours: 3*day + time.Hour}
	for range 2 {
		require.NoError(t, s.Prune(t.Context(), now, keep))
		rows := Rows(t, s, always(0))
		coarse := slices.Collect(func(yield func(time.Time) bool) {
			for _, r := range rows {
				if r.Flags&accounting.Coarse != 0 && !yield(r.Start) {
					return
				}
			}
		})
		assert.Len(t, rows, 4*288-288+24, "a day of hours")
		assert.Len(t, coarse, 24)
		assert.Equal(t, int64(4*86400), sum(rows)[accounting.ExternalIn4], "nothing is lost")
	}
	require.NoError(t, s.Prune(t.Context(), now.AddDate(0, 0, 2), keep))
	assert.Len(t, Rows(t, s, always(0)), 2+24+288)
	for _, r := range Rows(t, s, always(day)) {
		assert.Equal(t, int64(86400), r.Usage[accounting.ExternalIn4])
		assert.Zero(t, r.Flags&accounting.Coarse, "it is what was asked for")
	}
	// the clock is set back to a pruned day: it is added there
	r := Reading(midnight().Add(-time.Minute), 5*day, Counted(web1(), "a", 4*86400+10))
	r.Time = midnight().Add(time.Hour)
	r.Uptime = time.Minute + 4*day + 10*time.Second
	require.NoError(t, s.Fold(t.Context(), r))
	assert.Equal(t, int64(86410), Rows(t, s, always(day))[0].Usage[accounting.ExternalIn4])
}

func testOutbox(t *testing.T, s, all accounting.Store, reopen func(*testing.T, accounting.Store) accounting.Store) {
	p, err := s.Pending(t.Context(), 100)
	require.NoError(t, err)
	assert.Zero(t, p)
	fill(t, s, midnight(), 2)
	var acked uint64
	send := func() int {
		p, err := s.Pending(t.Context(), 10)
		require.NoError(t, err)
		if len(p.Rows) == 0 {
			return 0
		}
		p.Host = "curacao"
		for range 2 { // the answer to the first was lost
			acked, err = all.Push(t.Context(), p)
			require.NoError(t, err)
			assert.Equal(t, p.Seq, acked)
		}
		s = reopen(t, s)
		require.NoError(t, s.Sent(t.Context(), acked))
		return len(p.Rows)
	}
	assert.Equal(t, 288, send(), "a change is sent whole")
	assert.Equal(t, 288, send())
	assert.Zero(t, send())
	assert.Equal(t, Rows(t, s, always(0)), Rows(t, all, always(0)))
	require.NoError(t, s.Fold(t.Context(), Reading(midnight().Add(-time.Minute), time.Minute+2*day+time.Second, Counted(web1(), "a", 2*86400+9))))
	p, err = s.Pending(t.Context(), 10)
	require.NoError(t, err)
	p.Host = "curacao"
	require.NoError(t, s.Fold(t.Context(), Reading(midnight().Add(-time.Minute), time.Minute+2*day+2*time.Second, Counted(web1(), "a", 2*86400+19))))
	acked, err = all.Push(t.Context(), p)
	require.NoError(t, err)
	require.NoError(t, s.Sent(t.Context(), acked))
	assert.Equal(t, 1, send(), "it changed after it was taken")
	assert.Equal(t, Rows(t, s, always(0)), Rows(t, all, always(0)))
	totals, err := all.Totals(t.Context())
	require.NoError(t, err)
	assert.Empty(t, totals, "they are of the host itself")
}

// testRestored: a ledger from an old copy must not send what is taken for known.
func testRestored(t *testing.T, open func(*testing.T) accounting.Store) {
	s, all := open(t), open(t)
	fill(t, s, midnight(), 3)
	p, err := s.Pending(t.Context(), 10_000)
	require.NoError(t, err)
	p.Host = "curacao"
	_, err = all.Push(t.Context(), p)
	require.NoError(t, err)
	old := open(t)
	fill(t, old, midnight(), 1)
	p, err = old.Pending(t.Context(), 10)
	require.NoError(t, err)
	p.Host = "curacao"
	acked, err := all.Push(t.Context(), p)
	require.NoError(t, err)
	require.ErrorIs(t, old.Sent(t.Context(), acked), accounting.ErrBehind)
}

func testQuota(t *testing.T, s accounting.Store, reopen func(*testing.T, accounting.Store) accounting.Store) {
	q := accounting.Quota{Guest: web1(), Limit: 1e12, Warn: 80, Soft: true, Hard: 110, Zone: "Europe/Amsterdam",
		Period: midnight(), TopUp: 5, Done: []accounting.Level{accounting.LevelWarn}}
	require.NoError(t, s.SetQuota(t.Context(), q))
	require.NoError(t, s.SetQuota(t.Context(), accounting.Quota{Guest: db1(), Limit: 1}))
	require.ErrorIs(t, s.SetQuota(t.Context(), accounting.Quota{Guest: db1(), Limit: -1}), accounting.ErrInvalid)
	require.ErrorIs(t, s.SetQuota(t.Context(), accounting.Quota{Guest: db1(), Limit: 1, Zone: "Mars"}), accounting.ErrInvalid)
	s = reopen(t, s)
	all, err := s.Quotas(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []accounting.Quota{q, {Guest: db1(), Limit: 1}}, all)
	require.NoError(t, s.SetQuota(t.Context(), accounting.Quota{Guest: web1()}))
	all, err = s.Quotas(t.Context())
	require.NoError(t, err)
	assert.Len(t, all, 1)
}

// testMany: several processes read at the same time; each reading is folded
// once.
func testMany(t *testing.T, s accounting.Store) {
	const workers, readings = 4, 25
	require.NoError(t, s.Fold(t.Context(), Reading(midnight(), time.Second, Counted(web1(), "a", 0))))
	done := make(chan error)
	for range workers {
		go func() {
			for i := 1; i <= readings; i++ {
				err := s.Fold(t.Context(), Reading(midnight(), time.Duration(1+i)*time.Second, Counted(web1(), "a", uint64(i))))
				if err != nil && !isStale(err) {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		require.NoError(t, <-done)
	}
	assert.Equal(t, int64(readings), sum(Rows(t, s, always(0)))[accounting.ExternalIn4])
}
