package migrate_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
)

// A schedule is one way in which a move is cut short and ended.
type schedule struct {
	mover   string // where the mover runs
	kill    int    // it dies before this step; as many as there are: after the last
	reboot  string // the host whose plug is pulled then; "" is none
	resume  string // where Resume is called
	kill2   int    // Resume dies before this step of its own; -1: it does not
	steps   int    // of a whole move
	cutOver int    // the step "give up"
}

// TestCrash kills the mover before and after every step of a move, pulls no
// plug, the source's or the target's, and resumes from either host. In every
// case exactly one copy runs in the end, no acknowledged record is lost, the
// other host's volumes are fenced or gone; and a move that went back can be
// made again.
func TestCrash(t *testing.T) {
	all := ladder(t)
	cutOver := slices.Index(names(all), handover.GiveUp)
	var count atomic.Int64
	t.Run("schedules", func(t *testing.T) {
		for kill := range len(all) + 1 {
			name := "after the last step"
			if kill < len(all) {
				name = "before " + all[kill].String()
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for _, mover := range []string{"curacao", "islay"} {
					for _, reboot := range []string{"", "curacao", "islay"} {
						for _, resume := range []string{"curacao", "islay"} {
							s := schedule{mover: mover, kill: kill, reboot: reboot, resume: resume, kill2: -1, steps: len(all), cutOver: cutOver}
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
	t.Logf("%d steps, %d schedules", len(all), count.Load())
}

// TestCrashTwice kills Resume too, before each of its own steps.
func TestCrashTwice(t *testing.T) {
	all := ladder(t)
	cutOver := slices.Index(names(all), handover.GiveUp)
	var count atomic.Int64
	t.Run("schedules", func(t *testing.T) {
		for kill := range len(all) {
			t.Run("before "+all[kill].String(), func(t *testing.T) {
				t.Parallel()
				for kill2 := 0; ; kill2++ {
					s := schedule{mover: "curacao", kill: kill, resume: "islay", kill2: kill2, steps: len(all), cutOver: cutOver}
					if !s.run(t) {
						break // Resume has no such step
					}
					count.Add(1)
				}
			})
		}
	})
	t.Logf("%d schedules", count.Load())
}

// run returns whether Resume was killed.
func (s *schedule) run(t *testing.T) (killed bool) {
	w, ctx := newWorld(t, nil), t.Context()
	defer w.Close() // one test runs many
	at := &steps{n: s.kill}
	died := migratetest.Kill(func() { _, _ = w.move(ctx, s.mover, at.options()) })
	require.Equal(t, s.kill < s.steps, died, "the mover died where it should")
	require.Len(t, at.seen, s.kill)
	w.Cut()
	require.NoError(t, w.Check(ctx), "after the kill")
	w.Mend()
	if s.reboot != "" {
		w.PowerOff(s.reboot)
		require.NoError(t, w.Check(ctx), "while %s is off", s.reboot)
		_, _ = w.PowerOn(ctx, s.reboot) // it may report what a Resume is needed for
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
	assert.Equal(t, on, second.Owner)

	forward := s.kill > s.cutOver
	require.Equal(t, forward, on == "islay", "the guest is on %s", on)
	if !forward {
		_, err := w.move(ctx, s.mover, nil)
		require.NoError(t, err, "the second try")
		require.Equal(t, "islay", w.lives("after the second try"))
	}
	return killed
}
