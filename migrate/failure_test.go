package migrate_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

var errDisk = errors.New("disk on fire")

// at calls f before the step of that name, once.
func at(name handover.Name, f func()) *migrate.Options {
	done := false
	return &migrate.Options{OnStep: func(s handover.Step) error {
		if s.Name == name && !done {
			done = true
			f()
		}
		return nil
	}}
}

// TestStepFails refuses each step in turn. Up to the cut-over the guest stays
// where it is, after it the move is finished all the same.
func TestStepFails(t *testing.T) {
	all := ladder(t)
	cutOver := slices.Index(names(all), handover.GiveUp)
	refused := errors.New("refused")
	for i, step := range all {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			w, n := newWorld(t, nil), 0
			report, err := w.move(t.Context(), "curacao", &migrate.Options{OnStep: func(handover.Step) error {
				n++
				if n == i+1 {
					return refused
				}
				return nil
			}})
			if i > cutOver {
				require.NoError(t, err)
				assert.Equal(t, handover.Forward, report.Way)
				assert.Equal(t, "islay", w.lives("after the move"))
				return
			}
			require.ErrorIs(t, err, refused)
			assert.ErrorContains(t, err, "migrate: move web1: before "+step.String()+": refused; rolled back: web1 stays on curacao")
			assert.Equal(t, handover.Back, report.Way)
			require.Equal(t, "curacao", w.lives("after the roll back"))
			_, err = w.move(t.Context(), "curacao", nil)
			require.NoError(t, err, "the second try")
			assert.Equal(t, "islay", w.lives("after the second try"))
		})
	}
}

// TestPrimitiveFails lets what the steps are made of fail, once, before or
// after its work was done. It is rolled back at once, or got over.
func TestPrimitiveFails(t *testing.T) {
	type fault struct {
		step handover.Name
		on   string
		op   string // of the fake: volumes.create
		back bool   // the move is rolled back
	}
	faults := []fault{
		{handover.Receive, "islay", "volumes.create", true},
		{handover.Receive, "islay", "volumes.open", true},
		{handover.Snapshot, "curacao", "volumes.snapshot", true},
		{handover.Snapshot, "curacao", "volumes.open", true},
		{handover.Stop, "curacao", "domains.shutdown", true},
		{handover.Changes, "curacao", "volumes.changed", true},
		{handover.Fence, "curacao", "domains.lookup", true},
		{handover.Fence, "curacao", "volumes.remove", true},
		{handover.Fence, "curacao", "volumes.skip", true},
		{handover.Fence, "curacao", "volumes.tag", true},
		{handover.Fence, "curacao", "volumes.deactivate", true},
		{handover.Adopt, "islay", "volumes.tag", false},
		{handover.Adopt, "islay", "volumes.skip", false},
		{handover.Adopt, "islay", "network.set", false},
		{handover.Start, "islay", "domains.create", false},
		{handover.PutAside, "curacao", "network.remove", false},
	}
	for _, f := range faults {
		for _, after := range []bool{false, true} {
			if after && f.op == "domains.lookup" {
				continue // it finds nothing, which is no success to follow up
			}
			for _, mover := range []string{"curacao", "islay"} {
				t.Run(fmt.Sprintf("%s on %s in %s, after %t, mover on %s", f.op, f.on, f.step, after, mover), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, nil)
					report, err := w.move(t.Context(), mover, at(f.step, func() { w.fail(f.on, f.op, after) }))
					if !f.back {
						require.NoError(t, err)
						assert.Equal(t, "islay", w.lives("after the move"))
						return
					}
					require.ErrorContains(t, err, "disk on fire")
					assert.ErrorContains(t, err, string(f.step))
					assert.NotErrorIs(t, err, migrate.ErrInterrupted)
					assert.Equal(t, handover.Back, report.Way)
					assert.Equal(t, "curacao", w.lives("after the roll back"))
				})
			}
		}
	}
}

func (w world) fail(on, op string, after bool) {
	m := w.Machine(on)
	var kinds = map[string][2]func(string, error){
		"domains": {m.Domains.Fail, m.Domains.FailAfter},
		"volumes": {m.Volumes.Fail, m.Volumes.FailAfter},
		"network": {m.Network.Fail, m.Network.FailAfter},
	}
	kind, verb := op[:7], op[8:]
	i := 0
	if after {
		i = 1
	}
	kinds[kind][i](verb, errDisk)
}

// TestTornWrite lets a write at the target fail half-way in each of the passes.
func TestTornWrite(t *testing.T) {
	for _, step := range []handover.Name{handover.Copy, handover.Changes} {
		w := newWorld(t, nil)
		_, err := w.move(t.Context(), "curacao", at(step, func() { w.Machine("islay").Volumes.FailWrite(1, errDisk) }))
		require.ErrorContains(t, err, "disk on fire")
		require.Equal(t, "curacao", w.lives(string(step)))
	}
}

// TestSilentCorruption changes a byte of the copy behind everybody's back.
func TestSilentCorruption(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.move(t.Context(), "curacao", at(handover.Verify, func() {
		v, err := w.Machine("islay").Volumes.Volume(t.Context(), w.guest.Disks[0].Volume)
		require.NoError(t, err)
		f, err := os.OpenFile(v.Path, os.O_RDWR, 0)
		require.NoError(t, err)
		defer f.Close()
		_, err = f.WriteAt([]byte{1}, 4711)
		require.NoError(t, err)
	}))
	require.ErrorIs(t, err, migrate.ErrDiffers)
	require.Equal(t, "curacao", w.lives("after the roll back"))
}

// TestSnapshotOverflows: a snapshot that can not tell what changed costs a
// second full pass and nothing else.
func TestSnapshotOverflows(t *testing.T) {
	for _, cause := range []error{lvm.ErrSnapshotInvalid, errors.ErrUnsupported} {
		for _, mover := range []string{"curacao", "islay"} {
			w := newWorld(t, nil)
			report, err := w.move(t.Context(), mover, at(handover.Stop, func() { w.Machine("curacao").Volumes.Fail("changed", cause) }))
			require.NoError(t, err)
			require.Len(t, report.Passes, 2)
			assert.Equal(t, handover.AsIs, report.Passes[1].What)
			assert.Contains(t, report.Passes[1].Whole, cause.Error())
			assert.EqualValues(t, 1<<20, report.Passes[1].Read)
			require.Equal(t, "islay", w.lives("after the move"))
		}
	}
}

// TestCable cuts the cable before each step, the mover lives.
func TestCable(t *testing.T) {
	all := ladder(t)
	cutOver := slices.Index(names(all), handover.GiveUp)
	for i, step := range all {
		for _, mover := range []string{"curacao", "islay"} {
			t.Run(step.String()+", mover on "+mover, func(t *testing.T) {
				t.Parallel()
				w, n := newWorld(t, nil), 0
				_, err := w.move(t.Context(), mover, &migrate.Options{OnStep: func(handover.Step) error {
					if n == i {
						w.Cut()
					}
					n++
					return nil
				}})
				require.NoError(t, w.Check(t.Context()))
				if mover == "curacao" && (step.Name == handover.PutAside || step.Name == handover.Release) {
					require.NoError(t, err, "the target is not needed any more")
					w.lives("after the move")
					return
				}
				require.ErrorIs(t, err, migrate.ErrUnreachable)
				if mover == "curacao" && i <= cutOver {
					assert.NotErrorIs(t, err, migrate.ErrInterrupted, "the source keeps the guest without anybody's help")
					w.writes("while the cable is cut")
					w.Mend()
					_, err := w.move(t.Context(), mover, nil)
					require.NoError(t, err, "the second try")
					require.Equal(t, "islay", w.lives("after the second try"))
					return
				}
				w.Mend()
				report, err := w.resume("curacao", nil)
				require.NoError(t, err)
				w.lives("after Resume: " + report.Why)
			})
		}
	}
}

// TestTargetLosesPower pulls the target's plug before each step, while the
// mover at the source lives.
func TestTargetLosesPower(t *testing.T) {
	all := ladder(t)
	cutOver := slices.Index(names(all), handover.GiveUp)
	for i, step := range all {
		t.Run(step.String(), func(t *testing.T) {
			t.Parallel()
			w, n := newWorld(t, nil), 0
			_, err := w.move(t.Context(), "curacao", &migrate.Options{OnStep: func(handover.Step) error {
				if n == i {
					w.PowerOff("islay")
				}
				n++
				return nil
			}})
			if step.Name == handover.PutAside || step.Name == handover.Release {
				require.NoError(t, err, "the target is not needed any more")
			} else {
				require.ErrorIs(t, err, migrate.ErrUnreachable)
			}
			if i <= cutOver {
				w.writes("while islay is off")
			}
			require.NoError(t, w.Check(t.Context()))
			_, err = w.PowerOn(t.Context(), "islay")
			require.NoError(t, err)
			report, err := w.resume("islay", nil)
			require.NoError(t, err)
			w.lives("after Resume: " + report.Why)
		})
	}
}

// TestNoRoomToStart: what stays broken after the commit is reported with what
// to do, and ends when it is repaired.
func TestNoRoomToStart(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.move(t.Context(), "curacao", at(handover.Start, func() {
		for range 2 {
			w.Machine("islay").Domains.Fail("create", xen.ErrNoMemory)
		}
	}))
	require.ErrorIs(t, err, migrate.ErrInterrupted)
	require.ErrorIs(t, err, xen.ErrNoMemory, "it crossed the connection")
	require.ErrorContains(t, err, "islay has it, but not all was done; when both hosts answer, run on curacao: move --resume "+w.guest.UUID.String()+" --to islay")
	require.NoError(t, w.Check(t.Context()))
	report, err := w.resume("curacao", nil)
	require.NoError(t, err)
	assert.Equal(t, handover.Forward, report.Way)
	assert.Equal(t, "islay", w.lives("after Resume"))
}

// TestBusy: nothing else touches a guest whose mover lives.
func TestBusy(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.move(t.Context(), "curacao", at(handover.Copy, func() {
		_, err := w.resume("islay", nil)
		assert.ErrorIs(t, err, host.ErrBusy)
		_, err = w.Host("curacao").Stop(t.Context(), w.guest.UUID)
		assert.ErrorIs(t, err, host.ErrBusy)
		_, err = w.move(t.Context(), "islay", nil)
		assert.ErrorIs(t, err, host.ErrBusy)
	}))
	require.NoError(t, err)
	require.Equal(t, "islay", w.lives("after the move"))
}
