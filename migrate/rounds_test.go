package migrate_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/xen/host"
)

const dataSize = 16 << 20

// newBusyWorld has a guest with a second disk, on which it scribbles. It writes
// its records slowly, so that they do not count.
func newBusyWorld(t *testing.T, size int64, opts *migratetest.Options) world {
	t.Helper()
	if opts == nil {
		opts = &migratetest.Options{}
	}
	opts.Every = 50 * time.Millisecond
	w, err := migratetest.NewWorld(folder(t), opts)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	def := w.Guest("web1", 1<<20)
	def.Disks = append(def.Disks, host.Disk{Dev: "xvdb", Volume: lvm.ID{Group: "guests", Name: "web1-data"}, Size: size})
	g, err := w.Provision(t.Context(), "curacao", def)
	require.NoError(t, err)
	return world{World: w, t: t, guest: g, mode: migrate.Cold, from: "curacao", to: "islay"}
}

// busy is a guest that writes plan[i] bytes during round i of a move; round 0 is
// the first copy. Its last entry goes on for ever.
type busy struct {
	w     world
	plan  []int64
	steps []handover.Step
	wrote int // rounds
}

// options are those of a move in which 1 MiB at most fits the pause, which is
// too short to carry anything.
func (b *busy) options() *migrate.Options {
	return &migrate.Options{MaxPause: time.Nanosecond, OnStep: func(s handover.Step) error {
		b.steps = append(b.steps, s)
		running := !slices.ContainsFunc(b.steps, func(s handover.Step) bool { return s.Name == handover.Stop || s.Name == handover.Migrate })
		if s.Dev != "xvdb" || !running || s.Name != handover.Copy && s.Name != handover.Changes {
			return nil
		}
		n := b.plan[min(b.wrote, len(b.plan)-1)]
		b.wrote++
		return b.w.Scribble(b.w.t.Context(), b.w.guest.UUID, "xvdb", n, uint64(b.wrote))
	}}
}

func (b *busy) count(name handover.Name) (n int) {
	for _, s := range b.steps {
		if s.Name == name {
			n++
		}
	}
	return n
}

func eachRounds(t *testing.T, do func(t *testing.T, mode migrate.Mode, mover string)) {
	for _, mode := range []migrate.Mode{migrate.Live, migrate.TwoPass} {
		for _, mover := range []string{"curacao", "islay"} {
			t.Run(fmt.Sprintf("%s by %s", mode, mover), func(t *testing.T) {
				t.Parallel()
				do(t, mode, mover)
			})
		}
	}
}

// TestTooBusy: a guest that writes as much in every round as before is left
// where it is, after as few rounds as show it, and was never interrupted.
func TestTooBusy(t *testing.T) {
	eachRounds(t, func(t *testing.T, mode migrate.Mode, mover string) {
		w := newBusyWorld(t, dataSize, nil)
		w.mode = mode
		b := &busy{w: w, plan: []int64{8 << 20}}
		report, err := w.move(t.Context(), mover, b.options())
		require.ErrorIs(t, err, migrate.ErrBusyDisks)
		assert.Regexp(t, `after 3 rounds 8(\.\d)? MiB are left, 1 MiB fit the pause; rolled back: web1 stays on curacao$`, err.Error())
		assert.NotErrorIs(t, err, migrate.ErrInterrupted)
		assert.Equal(t, handover.Back, report.Way)
		assert.Equal(t, 3, report.Rounds)
		assert.Equal(t, 3, b.count(handover.Round))
		assert.Zero(t, report.Downtime)
		assert.Zero(t, b.count(handover.Stop)+b.count(handover.Migrate))
		require.Equal(t, "curacao", w.lives("left alone"))
		volumes, err := w.Machine("curacao").Volumes.Volumes(t.Context(), "guests")
		require.NoError(t, err)
		assert.Len(t, volumes, 2, "no snapshot is left")
	})
}

// TestTooSlowlyCalm: one that writes less and less, but not soon enough, ends by
// the number of rounds.
func TestTooSlowlyCalm(t *testing.T) {
	eachRounds(t, func(t *testing.T, mode migrate.Mode, mover string) {
		w := newBusyWorld(t, dataSize, nil)
		w.mode = mode
		b := &busy{w: w, plan: []int64{16 << 20, 12 << 20, 9 << 20, 6 << 20, 4 << 20, 3 << 20}}
		opts := b.options()
		opts.MaxRounds = 5
		report, err := w.move(t.Context(), mover, opts)
		require.ErrorIs(t, err, migrate.ErrBusyDisks)
		assert.Regexp(t, `after 5 rounds 3(\.\d)? MiB are left`, err.Error())
		assert.Equal(t, 5, report.Rounds)
		require.Equal(t, "curacao", w.lives("left alone"))
	})
}

// TestCalmsDown: a guest that calms down moves. What it wrote in each round is
// there, and while it stands still only the last of it is sent.
func TestCalmsDown(t *testing.T) {
	eachRounds(t, func(t *testing.T, mode migrate.Mode, mover string) {
		w := newBusyWorld(t, dataSize, nil)
		w.mode = mode
		b := &busy{w: w, plan: []int64{16 << 20, 8 << 20, 4 << 20, 256 << 10}}
		report, err := w.move(t.Context(), mover, b.options())
		require.NoError(t, err)
		assert.Equal(t, handover.Forward, report.Way)
		assert.Equal(t, 3, report.Rounds)
		assert.Positive(t, report.Downtime)
		require.Equal(t, "islay", w.lives("moved"))

		var sent []int64
		for _, p := range report.Passes {
			if p.Dev == "xvdb" {
				sent = append(sent, p.Read)
			}
		}
		assert.Equal(t, []int64{16 << 20, 16 << 20, 8 << 20, 4 << 20, 256 << 10}, sent, "the copy, three rounds, the rest")
		s, err := w.Host("islay").Guest(t.Context(), w.guest.UUID)
		require.NoError(t, err)
		for offset, want := range map[int64]uint64{0: 4, 128 << 10: 4, 256 << 10: 3, 4<<20 - 4096: 3, 4 << 20: 2, 8 << 20: 1, dataSize - 4096: 1} {
			got, err := migratetest.Scribbled(s.Volumes[1].Path, offset)
			require.NoError(t, err)
			assert.Equal(t, want, got, "what was written last at %d", offset)
		}
		if mode == migrate.TwoPass {
			assert.NotEmpty(t, report.Ending)
			assert.Empty(t, report.Sums)
			assert.Equal(t, 2, b.count(handover.Verify), "of each disk only what was sent last")
		}
	})
}

// TestRoundOverflows: where a snapshot can not tell any more what changed, the
// round sends all of the disk, and the next one follows it again.
func TestRoundOverflows(t *testing.T) {
	eachRounds(t, func(t *testing.T, mode migrate.Mode, mover string) {
		w := newBusyWorld(t, dataSize, nil)
		w.mode = mode
		b := &busy{w: w, plan: []int64{8 << 20, 0}}
		opts := b.options()
		note, failed := opts.OnStep, false
		opts.OnStep = func(s handover.Step) error {
			if s.Name == handover.Round && !failed {
				failed = true
				w.Machine("curacao").Volumes.Fail("changed", lvm.ErrSnapshotInvalid)
			}
			return note(s)
		}
		report, err := w.move(t.Context(), mover, opts)
		require.NoError(t, err)
		require.Equal(t, "islay", w.lives("moved"))
		assert.Equal(t, 1, report.Rounds)
		var whole int
		for _, p := range report.Passes {
			if p.What == handover.AsIs {
				assert.NotEmpty(t, p.Whole)
				whole++
			}
		}
		assert.Equal(t, 1, whole)
	})
}

// TestTwoPassOverflowsAtTheEnd: once the guest is off, all of the disk is sent
// and compared rather than starting it again.
func TestTwoPassOverflowsAtTheEnd(t *testing.T) {
	w := newBusyWorld(t, dataSize, nil)
	w.mode = migrate.TwoPass
	report, err := w.move(t.Context(), "islay", at(handover.Changes, func() {
		w.Machine("curacao").Volumes.Fail("changed", lvm.ErrSnapshotInvalid)
	}))
	require.NoError(t, err)
	require.Equal(t, "islay", w.lives("moved"))
	assert.Len(t, report.Sums, 1)
	assert.Zero(t, report.Rounds)
}

// TestNoRoomForRounds: another snapshot is needed beside the first for the time
// of a round. That is in the plan, not found out while the guest waits.
func TestNoRoomForRounds(t *testing.T) {
	w := newBusyWorld(t, dataSize, &migratetest.Options{Group: lvmtest.GroupSpec{Name: "guests", Size: 40 << 20, Extent: 1 << 20}})
	for _, mode := range []migrate.Mode{migrate.Live, migrate.TwoPass} {
		w.mode = mode
		_, err := w.move(t.Context(), "curacao", nil)
		require.ErrorIs(t, err, migrate.ErrRefused)
		require.ErrorContains(t, err, "curacao: second snapshot of guests/web1-data, for the time of a round: not enough free space (4 extents, needs 17)")
	}
	w.mode = migrate.Cold
	_, err := w.move(t.Context(), "curacao", nil)
	require.NoError(t, err)
	require.Equal(t, "islay", w.lives("moved cold"))
}
