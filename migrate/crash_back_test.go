package migrate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
)

// TestCrashBack kills the mover before each step of a move back to the host
// that still has the old volume: one copy runs in the end, with all records,
// and the old one is never it.
func TestCrashBack(t *testing.T) {
	w := wentAway(t)
	all := &steps{n: -1}
	_, err := w.move(t.Context(), "curacao", all.options())
	require.NoError(t, err)
	require.Contains(t, names(all.seen), handover.Compare)
	cut := 0
	for i, n := range names(all.seen) {
		if n == handover.GiveUp {
			cut = i
		}
	}
	for kill, step := range all.seen {
		t.Run("before "+step.String(), func(t *testing.T) {
			t.Parallel()
			for _, reboot := range []string{"", "curacao", "islay"} {
				w, ctx := wentAway(t), t.Context()
				require.True(t, migratetest.Kill(func() { _, _ = w.move(ctx, "curacao", (&steps{n: kill}).options()) }))
				w.Cut()
				require.NoError(t, w.Check(ctx), "after the kill")
				w.Mend()
				if reboot != "" {
					w.PowerOff(reboot)
					_, _ = w.PowerOn(ctx, reboot)
					require.NoError(t, w.Check(ctx), "after the boot of %s", reboot)
				}
				first, err := w.resume("islay", nil)
				require.NoError(t, err, first.Why)
				on := w.lives("after Resume: " + first.Why)
				require.Equal(t, kill > cut, on == "curacao", first.Why)
				second, err := w.resume("curacao", nil)
				require.NoError(t, err)
				assert.Equal(t, handover.Nothing, second.Way)
				if on == "islay" {
					_, err := w.move(ctx, "curacao", nil)
					require.NoError(t, err, "the second try")
					require.Equal(t, "curacao", w.lives("after the second try"))
				}
				w.Close()
			}
		})
	}
}

// wentAway is a world whose guest is on islay, and is to go back.
func wentAway(t *testing.T) world {
	t.Helper()
	w := newWorld(t, nil)
	_, err := w.move(t.Context(), "curacao", nil)
	require.NoError(t, err)
	w.from, w.to = "islay", "curacao"
	return w
}
