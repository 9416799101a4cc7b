package migrate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/shaping"
)

// TestRatesTravel: the guest is as fast at the other host, a throttle goes with
// it, and nothing of them stays behind.
func TestRatesTravel(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	rates := shaping.Policy{Download: 100 * shaping.Mbit, Upload: 10 * shaping.Mbit, Weight: 4}
	throttle := shaping.Throttle{Rate: shaping.Mbit}
	require.NoError(t, w.Host("curacao").SetRates(ctx, w.guest.UUID, rates))
	require.NoError(t, w.Host("curacao").Throttle(ctx, w.guest.UUID, throttle))
	_, err := w.move(ctx, "curacao", nil)
	require.NoError(t, err)
	require.Equal(t, "islay", w.lives("after the move"))

	here, err := w.Machine("islay").Shaping.Read(ctx)
	require.NoError(t, err)
	g, ok := here.Guest(w.guest.UUID)
	require.True(t, ok)
	assert.Equal(t, rates, g.Policy)
	assert.Equal(t, throttle, g.Throttle)
	there, err := w.Machine("curacao").Shaping.Read(ctx)
	require.NoError(t, err)
	assert.Empty(t, there.Guests)
}

// TestRatesThatTheTargetCanNotPromise: the guest stays where it is, and runs on.
func TestRatesThatTheTargetCanNotPromise(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	require.NoError(t, w.Host("curacao").SetRates(ctx, w.guest.UUID, shaping.Policy{Upload: 10 * shaping.Mbit}))
	narrow := shaping.State{Uplink: shaping.Uplink{Dev: "eth0", Rate: 10 * shaping.Mbit}}
	_, err := w.Machine("islay").Shaping.Apply(ctx, narrow)
	require.NoError(t, err)
	_, err = w.move(ctx, "curacao", nil)
	require.ErrorIs(t, err, migrate.ErrRefused)
	require.ErrorContains(t, err, "islay: shaping: validate: uplink eth0 of 10mbit would promise 11mbit")
	require.Equal(t, "curacao", w.lives("after the refusal"))
	have, err := w.Machine("islay").Shaping.Read(ctx)
	require.NoError(t, err)
	assert.Equal(t, narrow.Normalize(), have)
}
