package migrate_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// TestTwoPass: there and back, near and far, and its dry run.
func TestTwoPass(t *testing.T) {
	for _, mover := range []string{"curacao", "islay"} {
		t.Run(mover, func(t *testing.T) {
			w, ctx := newBusyWorld(t, 4<<20, nil), t.Context()
			w.mode = migrate.TwoPass
			from, to, err := w.pair(mover)
			require.NoError(t, err)
			plan, err := migrate.PlanMove(ctx, from, to, w.guest.UUID, migrate.TwoPass, nil)
			require.NoError(t, err)
			text := plan.String()
			assert.Contains(t, text, "two-pass move of web1")
			assert.Contains(t, text, "copy what changed meanwhile, again and again until it is little\n  ---- web1 stops: downtime begins")
			assert.Contains(t, text, "copy what changed last, and read that again on both\n  ==== cut-over")
			assert.NotContains(t, text, "read every disk again")
			assert.Contains(t, text, "expected downtime: 5s and the guest's own power-off and boot")

			var last migrate.Event
			b := &busy{w: w, plan: []int64{4 << 20, 2 << 20, 0}}
			opts := b.options()
			opts.VerifyFull = true
			opts.Progress = func(e migrate.Event) { last = e }
			report, err := w.move(ctx, mover, opts)
			require.NoError(t, err)
			assert.Equal(t, handover.Release, last.Step.Name)
			assert.Equal(t, 2, report.Rounds)
			assert.Equal(t, xen.Clean, report.Ending)
			assert.Len(t, report.Sums, 2)
			require.Equal(t, "islay", w.lives("moved"))
			s, err := w.Host("islay").Guest(ctx, w.guest.UUID)
			require.NoError(t, err)
			assert.Equal(t, owner.Record{UUID: w.guest.UUID, State: owner.Running, Epoch: 2, Since: s.Owner.Since}, s.Owner)

			w.from, w.to = "islay", "curacao"
			_, err = w.move(ctx, mover, nil)
			require.NoError(t, err)
			require.Equal(t, "curacao", w.lives("back"))
		})
	}
}

// TestTwoPassOff: a guest that is off has no writes to follow.
func TestTwoPassOff(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	g, err := w.Host("curacao").Provision(ctx, w.Guest("web2", 1<<20), &host.ProvisionOptions{Stopped: true})
	require.NoError(t, err)
	w.guest, w.mode = g, migrate.TwoPass
	report, err := w.move(ctx, "curacao", nil)
	require.NoError(t, err)
	assert.Zero(t, report.Rounds)
	assert.Zero(t, report.Downtime)
	require.NoError(t, w.Settled(ctx, g.UUID))
}

// TestTwoPassStepFails refuses each step of a move with two rounds in turn.
func TestTwoPassStepFails(t *testing.T) {
	all := twoPassLadder(t)
	cutOver := slices.Index(names(all), handover.GiveUp)
	for i, step := range all {
		t.Run(fmt.Sprintf("%d %s", i, step), func(t *testing.T) {
			t.Parallel()
			w := newBusyWorld(t, 4<<20, nil)
			w.mode = migrate.TwoPass
			b := &busy{w: w, plan: []int64{2 << 20, 2 << 20, 0}}
			opts, n := b.options(), 0
			note := opts.OnStep
			opts.OnStep = func(s handover.Step) error {
				if n++; n == i+1 {
					return errDisk
				}
				return note(s)
			}
			_, err := w.move(t.Context(), "curacao", opts)
			if i > cutOver {
				require.NoError(t, err)
				require.Equal(t, "islay", w.lives("moved"))
				return
			}
			require.ErrorIs(t, err, errDisk)
			require.Equal(t, "curacao", w.lives("rolled back"))
		})
	}
}

// TestCrashTwoPass kills the mover before each step from the first round until
// the copy is ready; the others are those of a cold move. Nothing was given up,
// so the guest is where it was.
func TestCrashTwoPass(t *testing.T) {
	all := twoPassLadder(t)
	first, last := slices.Index(names(all), handover.Round), slices.Index(names(all), handover.Ready)
	require.Positive(t, first)
	var count atomic.Int64
	t.Run("schedules", func(t *testing.T) {
		for kill := first; kill <= last; kill++ {
			t.Run(fmt.Sprintf("%d before %s", kill, all[kill]), func(t *testing.T) {
				t.Parallel()
				for _, reboot := range []string{"", "curacao", "islay"} {
					crashTwoPass(t, kill, []string{"curacao", "islay"}[(kill+len(reboot))%2], reboot)
					count.Add(1)
				}
			})
		}
	})
	t.Logf("%d steps, %d schedules", len(all), count.Load())
}

func crashTwoPass(t *testing.T, kill int, mover, reboot string) {
	w, ctx := newBusyWorld(t, 4<<20, nil), t.Context()
	defer w.Close()
	w.mode = migrate.TwoPass
	b := &busy{w: w, plan: []int64{2 << 20, 2 << 20, 0}}
	opts, n := b.options(), 0
	note := opts.OnStep
	opts.OnStep = func(s handover.Step) error {
		if n++; n == kill+1 {
			migratetest.Die()
		}
		return note(s)
	}
	require.True(t, migratetest.Kill(func() { _, _ = w.move(ctx, mover, opts) }))
	w.Cut()
	require.NoError(t, w.Check(ctx), "after the kill")
	w.Mend()
	if reboot != "" {
		w.PowerOff(reboot)
		_, _ = w.PowerOn(ctx, reboot)
		require.NoError(t, w.Check(ctx), "after the boot of %s", reboot)
	}
	report, err := w.resume("islay", nil)
	require.NoError(t, err, report.Why)
	require.Equal(t, "curacao", w.lives("after Resume: "+report.Why))
	_, err = w.move(ctx, mover, nil)
	require.NoError(t, err, "the second try")
	require.Equal(t, "islay", w.lives("after the second try"))
}

// twoPassLadder returns the steps of a two-pass move with two rounds.
func twoPassLadder(t *testing.T) []handover.Step {
	t.Helper()
	w := newBusyWorld(t, 4<<20, nil)
	w.mode = migrate.TwoPass
	b := &busy{w: w, plan: []int64{2 << 20, 2 << 20, 0}}
	report, err := w.move(t.Context(), "curacao", b.options())
	require.NoError(t, err)
	require.Equal(t, 2, report.Rounds)
	return b.steps
}

// TestSuspendedByItself: that a PV guest is sent suspended, through the same
// gate, is chosen by the plan and said in it; a PVH guest is not.
func TestSuspendedByItself(t *testing.T) {
	for typ, suspended := range map[xen.Type]bool{xen.PV: true, xen.PVH: false} {
		w := newWorldOf(t, typ)
		plan, err := migrate.PlanMove(t.Context(), w.Host("curacao"), w.Host("islay"), w.guest.UUID, migrate.Live, nil)
		require.NoError(t, err)
		assert.Equal(t, suspended, plan.Suspended)
		text := "is suspended ----\n  both       send the memory of web1, 64 MiB at most\n"
		if suspended {
			assert.Contains(t, plan.String(), text)
		} else {
			assert.NotContains(t, plan.String(), text)
		}
		report, err := plan.Run(t.Context())
		require.NoError(t, err)
		assert.False(t, report.Lost, "it goes on from its memory")
		require.Equal(t, "islay", w.lives("moved"))
	}
}
