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
)

// TestCrashLive kills the mover of a live move before each of its steps, which
// are also the words that pass between the two toolstacks, pulls a plug or none,
// and resumes from either host. The source's toolstack meanwhile does what it
// does by itself. In every case exactly one copy runs in the end, from a disk
// with all acknowledged records, and the move can be made again.
func TestCrashLive(t *testing.T) {
	for _, typ := range []xen.Type{xen.PVH, xen.PV} {
		all := liveLadder(t, typ)
		giveUp, commit := slices.Index(names(all), handover.GiveUp), slices.Index(names(all), handover.Commit)
		require.Positive(t, giveUp)
		var count atomic.Int64
		t.Run(string(typ), func(t *testing.T) {
			for kill := range len(all) + 1 {
				if typ == xen.PV && kill < giveUp {
					continue // as PVH
				}
				name := "after the last step"
				if kill < len(all) {
					name = "before " + all[kill].String()
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					for _, mover := range []string{"curacao", "islay"} {
						for _, reboot := range []string{"", "curacao", "islay"} {
							for _, resume := range []string{"curacao", "islay"} {
								if kill < giveUp-1 && (mover == "islay" || resume == "curacao") {
									continue // as of a cold move
								}
								s := liveSchedule{typ: typ, mover: mover, kill: kill, reboot: reboot, resume: resume, kill2: -1, steps: len(all)}
								switch {
								case kill <= giveUp:
									s.on = "curacao"
								case kill > commit:
									s.on = "islay"
								}
								t.Run(fmt.Sprintf("mover on %s, reboot %q, resume on %s", mover, reboot, resume), func(t *testing.T) {
									s.run(t)
								})
								count.Add(1)
							}
						}
					}
				})
			}
		})
		t.Logf("%s: %d steps, %d schedules", typ, len(all), count.Load())
	}
}

// TestCrashLiveTwice kills Resume too, before each of its own steps.
func TestCrashLiveTwice(t *testing.T) {
	all := liveLadder(t, xen.PVH)
	giveUp, report := slices.Index(names(all), handover.GiveUp), slices.Index(names(all), handover.Report)
	var count atomic.Int64
	t.Run("schedules", func(t *testing.T) {
		for kill := giveUp; kill <= report; kill++ { // the rest is as of a cold move
			t.Run("before "+all[kill].String(), func(t *testing.T) {
				t.Parallel()
				for _, reboot := range []string{"", "curacao"} {
					for kill2 := 0; ; kill2++ {
						s := liveSchedule{typ: xen.PVH, mover: "curacao", kill: kill, reboot: reboot, resume: "islay", kill2: kill2, steps: len(all)}
						if !s.run(t) {
							break // Resume has no such step
						}
						count.Add(1)
					}
				}
			})
		}
	})
	t.Logf("%d schedules", count.Load())
}

// liveSchedule is as schedule; on is where the guest must be, "" where that
// depends on what was seen.
type liveSchedule struct {
	typ           xen.Type
	mover, reboot string
	resume, on    string
	kill, kill2   int
	steps         int
}

func (s *liveSchedule) run(t *testing.T) (killed bool) {
	w, ctx := newWorldOf(t, s.typ), t.Context()
	w.mode = migrate.Live
	defer w.Close()
	at := &steps{n: s.kill}
	died := migratetest.Kill(func() { _, _ = w.move(ctx, s.mover, at.options()) })
	require.Equal(t, s.kill < s.steps, died, "the mover died where it should")
	w.Cut()
	require.NoError(t, w.Check(ctx), "after the kill")
	w.Mend()
	if s.reboot != "" {
		w.PowerOff(s.reboot)
		require.NoError(t, w.Check(ctx), "while %s is off", s.reboot)
		_, _ = w.PowerOn(ctx, s.reboot)
		require.NoError(t, w.Check(ctx), "after the boot of %s", s.reboot)
	}
	if s.kill2 >= 0 {
		again := &steps{n: s.kill2}
		killed = migratetest.Kill(func() { _, _ = w.resume(s.resume, again.options()) })
		w.Cut()
		require.NoError(t, w.Check(ctx), "after the second kill")
		w.Mend()
	}
	first, err := w.resume(s.resume, nil)
	require.NoError(t, err, "Resume (%s)", first.Why)
	on := w.lives("after Resume: " + first.Why)
	second, err := w.resume(s.resume, nil)
	require.NoError(t, err, "second Resume")
	assert.Equal(t, handover.Nothing, second.Way, "the second Resume finds nothing to do: %s", second.Why)
	if s.on != "" {
		require.Equal(t, s.on, on, first.Why)
	}
	if on == "curacao" {
		_, err := w.move(ctx, s.mover, nil)
		require.NoError(t, err, "the second try")
		require.Equal(t, "islay", w.lives("after the second try"))
	}
	return killed
}

// liveLadder returns the steps of a live move that goes well.
func liveLadder(t *testing.T, typ xen.Type) []handover.Step {
	t.Helper()
	w, s := newWorldOf(t, typ), &steps{n: -1}
	w.mode = migrate.Live
	_, err := w.move(t.Context(), "curacao", s.options())
	require.NoError(t, err)
	return s.seen
}
