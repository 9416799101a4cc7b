package quota_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/accountingtest"
	"github.com/xenhost/xenhost/accounting/quota"
	"github.com/xenhost/xenhost/shaping"
)

var (
	web1  = uuid.UUID{1}
	start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
)

// world is a ledger that a test fills, and what was done to the guest.
type world struct {
	store    accounting.Store
	now      time.Time
	used     uint64
	throttle shaping.Throttle
	limits   []accounting.Limit
	events   []string
	refuse   error
}

func (w *world) Throttle(_ context.Context, _ uuid.UUID, t shaping.Throttle) error {
	w.throttle = t
	return w.refuse
}

func (w *world) SetLimits(_ context.Context, l []accounting.Limit) error {
	w.limits = l
	return nil
}

func (w *world) enforcer() *quota.Enforcer {
	return &quota.Enforcer{Store: w.store, Throttler: w, Limiter: w, Rate: shaping.Mbit, Now: func() time.Time { return w.now },
		Hook: func(_ context.Context, e quota.Event) error {
			w.events = append(w.events, string(e.Level))
			return w.refuse
		}}
}

// use lets a minute pass in which the guest uses so many bytes.
func (w *world) use(t *testing.T, bytes uint64) {
	w.now = w.now.Add(time.Minute)
	w.used += bytes
	require.NoError(t, w.store.Fold(t.Context(), accountingtest.Reading(start, w.now.Sub(start), accountingtest.Counted(web1, "a", w.used))))
}

func newWorld(t *testing.T) *world {
	w := &world{store: accountingtest.New(), now: start}
	w.use(t, 0)
	require.NoError(t, w.store.SetQuota(t.Context(), accounting.Quota{Guest: web1, Limit: 1000, Warn: 80, Soft: true, Hard: 110}))
	return w
}

func TestLevels(t *testing.T) {
	w := newWorld(t)
	act := func() { require.NoError(t, w.enforcer().Enforce(t.Context())) } // each time a process that was just started
	act()
	require.Len(t, w.limits, 1)
	assert.Equal(t, accounting.Limit{Guest: web1, Period: start, Bytes: 1100}, w.limits[0])
	w.use(t, 799)
	act()
	assert.Empty(t, w.events)
	w.use(t, 1)
	act()
	act()
	assert.Equal(t, []string{"warn"}, w.events)
	w.use(t, 200)
	act()
	act()
	assert.Equal(t, []string{"warn", "soft"}, w.events)
	assert.Equal(t, shaping.Throttle{Rate: shaping.Mbit, Until: start.AddDate(0, 1, 0)}, w.throttle)
	w.use(t, 100)
	act()
	act()
	assert.Equal(t, []string{"warn", "soft", "hard"}, w.events)

	q, err := w.enforcer().TopUp(t.Context(), web1, 150) // 1150: warn at 920, hard at 1265
	require.NoError(t, err)
	assert.Equal(t, []accounting.Level{accounting.LevelWarn}, q.Done)
	assert.Zero(t, w.throttle, "lifted")
	assert.Equal(t, int64(1265), w.limits[0].Bytes)
	assert.Equal(t, int64(1100), w.limits[0].Used)
	w.use(t, 100)
	act()
	assert.Equal(t, []string{"warn", "soft", "hard", "soft"}, w.events, "the threshold of the larger amount")

	w.now = start.AddDate(0, 1, 0)
	act()
	assert.Zero(t, w.throttle)
	assert.Equal(t, accounting.Limit{Guest: web1, Period: start.AddDate(0, 1, 0), Bytes: 1100}, w.limits[0], "what was bought ends with the month")
	assert.Len(t, w.events, 4)
	require.NoError(t, w.store.SetQuota(t.Context(), accounting.Quota{Guest: web1}))
	act()
	assert.Empty(t, w.limits)
}

func TestFailures(t *testing.T) {
	w := newWorld(t)
	w.refuse = errors.New("no")
	w.use(t, 1000)
	require.ErrorContains(t, w.enforcer().Enforce(t.Context()), "no")
	require.Len(t, w.limits, 1, "the kernel's limit does not depend on the rest")
	w.refuse = nil
	require.NoError(t, w.enforcer().Enforce(t.Context()))
	assert.Equal(t, []string{"warn", "warn", "soft"}, w.events, "until it was told")
	_, err := w.enforcer().TopUp(t.Context(), web1, 0)
	require.ErrorIs(t, err, accounting.ErrInvalid)
	_, err = w.enforcer().TopUp(t.Context(), uuid.UUID{9}, 1)
	require.ErrorIs(t, err, fs.ErrNotExist)
}
