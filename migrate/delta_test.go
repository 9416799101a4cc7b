package migrate_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

const bigDisk = 16 << 20

// newBigWorld has a guest whose disk is full of what can not be packed, behind
// the records that it writes.
func newBigWorld(t *testing.T) world {
	t.Helper()
	w, err := migratetest.NewWorld(folder(t), nil)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	def := w.Guest("web1", 1<<20)
	def.Disks = append(def.Disks, host.Disk{Dev: "xvdb", Volume: lvm.ID{Group: "guests", Name: "web1-data"}, Size: bigDisk})
	image := make([]byte, bigDisk)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(image) // never fails
	g, err := w.Host("curacao").Provision(t.Context(), def, &host.ProvisionOptions{Images: map[string]io.Reader{"xvdb": bytes.NewReader(image)}})
	require.NoError(t, err)
	require.NoError(t, w.Await(t.Context(), g.UUID, 0))
	return world{World: w, t: t, guest: g, mode: migrate.Cold, from: "curacao", to: "islay"}
}

// wire is what the passes of a disk had sent, hashes included.
func wire(r migrate.Report, dev string) (n int64) {
	for _, p := range r.Passes {
		if p.Dev == dev {
			n += p.Wire + p.Asked
		}
	}
	return n
}

// TestWayBackByDelta: the host that a guest came from still has its old volume,
// and gets only what changed since.
func TestWayBackByDelta(t *testing.T) {
	for _, mode := range []migrate.Mode{migrate.Cold, migrate.Live} {
		for _, mover := range []string{"curacao", "islay"} {
			t.Run(string(mode)+" by "+mover, func(t *testing.T) {
				w := newBigWorld(t)
				w.mode = mode
				there, err := w.move(t.Context(), mover, nil)
				require.NoError(t, err)
				require.Equal(t, "islay", w.lives("there"))
				assert.Greater(t, wire(there, "xvdb"), int64(bigDisk))

				w.scribble("islay", "xvdb", 5<<20, 100<<10) // what changes there
				w.from, w.to = "islay", "curacao"
				from, to, err := w.pair(mover)
				require.NoError(t, err)
				plan, err := migrate.PlanMove(t.Context(), to, from, w.guest.UUID, mode, &migrate.Options{VerifyFull: true})
				require.NoError(t, err)
				assert.Contains(t, plan.String(), "take volume guests/web1-data again, 16 MiB, which curacao gave away on ")
				assert.Contains(t, plan.String(), "copy xvdb, 16 MiB, only the delta against the copy on curacao")
				back, err := plan.Run(t.Context())
				require.NoError(t, err)
				require.Equal(t, "curacao", w.lives("back"))
				assert.NotEmpty(t, back.Sums["xvdb"], "all of it was read again and is equal")
				first := back.Passes[1]
				assert.Equal(t, "xvdb", first.Dev)
				assert.GreaterOrEqual(t, first.Data, int64(100<<10), "what changed")
				assert.Less(t, first.Data, int64(200<<10))
				assert.Less(t, wire(back, "xvdb"), int64(bigDisk/50), "and its hashes: 0.4 %% of it")
				t.Logf("%d bytes of xvdb there, %d back, of them %d hashes; %d were changed", wire(there, "xvdb"), wire(back, "xvdb"), first.Asked, 100<<10)
			})
		}
	}
}

// scribble changes a part of a disk behind the guest's back.
func (w world) scribble(on, dev string, at, n int64) {
	w.t.Helper()
	for _, d := range w.guest.Disks {
		if d.Dev != dev {
			continue
		}
		v, err := w.Machine(on).Volumes.Open(w.t.Context(), d.Volume)
		require.NoError(w.t, err)
		p := make([]byte, n)
		_, _ = rand.NewChaCha8([32]byte{2}).Read(p) // never fails
		_, err = v.WriteAt(p, at)
		require.NoError(w.t, err)
		require.NoError(w.t, v.Close())
	}
}

// TestWayBackRefusesAForeignVolume: a volume that only has the name is nobody's
// copy.
func TestWayBackRefusesAForeignVolume(t *testing.T) {
	w, ctx := newWorld(t, nil), t.Context()
	_, err := w.move(ctx, "curacao", nil)
	require.NoError(t, err)
	d, volumes := w.guest.Disks[0], w.Machine("curacao").Volumes
	require.NoError(t, volumes.Remove(ctx, d.Volume))
	_, err = volumes.Create(ctx, lvm.Spec{ID: d.Volume, Size: d.Size})
	require.NoError(t, err)
	before := volumes.String()
	w.from, w.to = "islay", "curacao"
	_, err = w.move(ctx, "curacao", nil)
	require.ErrorIs(t, err, migrate.ErrRefused)
	require.ErrorContains(t, err, "volume guests/web1-disk exists there and is not this guest's")
	assert.Equal(t, before, volumes.String())
	assert.Equal(t, "islay", w.Where(ctx, w.guest.UUID))
}

// TestCutCopyGoesOn: what had arrived when the cable was cut does not come again
// in the next move.
func TestCutCopyGoesOn(t *testing.T) {
	for _, mode := range []migrate.Mode{migrate.Cold, migrate.Live} {
		w, ctx := newBigWorld(t), t.Context()
		w.mode = mode
		cut := false
		_, err := w.move(ctx, "curacao", &migrate.Options{Progress: func(e migrate.Event) {
			if e.Step.Name == handover.Copy && e.Step.Dev == "xvdb" && e.Done >= bigDisk/2 && !cut {
				cut = true
				go w.Cut()
			}
		}})
		require.ErrorIs(t, err, migrate.ErrUnreachable)
		require.True(t, cut)
		w.writes("while the cable is cut")
		w.Cut() // it is over
		w.Mend()
		from, to, err := w.pair("curacao")
		require.NoError(t, err)
		plan, err := migrate.PlanMove(ctx, from, to, w.guest.UUID, mode, &migrate.Options{VerifyFull: true})
		require.NoError(t, err)
		assert.True(t, plan.GoesOn)
		assert.Contains(t, plan.String(), "go on with the copy that an earlier move left")
		report, err := plan.Run(ctx)
		require.NoError(t, err)
		require.Equal(t, "islay", w.lives("in the end"))
		assert.Less(t, wire(report, "xvdb"), int64(bigDisk*2/3), "what had arrived does not come again")
		assert.NotEmpty(t, report.Sums["xvdb"])
		t.Logf("%s: %d bytes of xvdb after the cut, of %d", mode, wire(report, "xvdb"), bigDisk)
	}
}

// TestRedial: a move whose connection is cut in the middle of a copy, or whose
// target loses its power there, goes on over another one.
func TestRedial(t *testing.T) {
	for _, mode := range []migrate.Mode{migrate.Cold, migrate.TwoPass, migrate.Live} {
		for _, power := range []bool{false, true} {
			if power == (mode == migrate.TwoPass) {
				continue // one of each will do
			}
			t.Run(fmt.Sprintf("%s, power %t", mode, power), func(t *testing.T) {
				t.Parallel()
				w, ctx := newBigWorld(t), t.Context()
				w.mode = mode
				cut, over := false, make(chan struct{})
				report, err := w.move(ctx, "curacao", &migrate.Options{VerifyFull: true,
					Progress: func(e migrate.Event) {
						if e.Step.Name != handover.Copy || e.Step.Dev != "xvdb" || e.Done < bigDisk/2 || cut {
							return
						}
						cut = true
						go func() {
							defer close(over)
							if w.Cut(); power {
								w.PowerOff("islay")
							}
						}()
					},
					Redial: func(ctx context.Context) (migrate.Host, error) {
						<-over
						w.Mend()
						if power {
							if _, err := w.PowerOn(ctx, "islay"); err != nil {
								return nil, err
							}
						}
						return w.Dial(ctx, "curacao", "islay")
					}})
				require.NoError(t, err)
				assert.Equal(t, 1, report.Redials)
				require.Equal(t, "islay", w.lives("after the move"))
				assert.NotEmpty(t, report.Sums["xvdb"])
				assert.Less(t, wire(report, "xvdb"), int64(bigDisk*2/3), "what had arrived was not sent again")
			})
		}
	}
}

// TestRedialGivesUp: then it is as without: the guest stays where it is.
func TestRedialGivesUp(t *testing.T) {
	for name, c := range map[string]struct {
		redial func(w world) (migrate.Host, error)
		means  error
	}{
		"nobody answers": {func(w world) (migrate.Host, error) { return w.Dial(w.t.Context(), "curacao", "islay") }, migrate.ErrUnreachable},
		"another host":   {func(w world) (migrate.Host, error) { return w.Host("curacao"), nil }, host.ErrInvalid},
		"it was resumed": {func(w world) (migrate.Host, error) {
			w.Mend()
			w.discard("islay")
			return w.Dial(w.t.Context(), "curacao", "islay")
		}, migrate.ErrConflict},
		"nobody wants to":    {func(w world) (migrate.Host, error) { return nil, errDisk }, errDisk},
		"it holds the guest": {func(w world) (migrate.Host, error) { w.Mend(); return w.Dial(w.t.Context(), "curacao", "islay") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			opts := at(handover.Copy, w.Cut)
			opts.Redial = func(context.Context) (migrate.Host, error) { return c.redial(w) }
			_, err := w.move(t.Context(), "curacao", opts)
			if c.means == nil {
				require.NoError(t, err, "the one before has let go")
				assert.Equal(t, "islay", w.lives("after the move"))
				return
			}
			require.ErrorIs(t, err, migrate.ErrUnreachable, "what began it")
			require.ErrorIs(t, err, c.means)
			w.writes("on curacao")
			w.Mend()
			_, err = w.resume("curacao", nil)
			require.NoError(t, err)
			assert.Equal(t, "curacao", w.lives("after Resume"))
		})
	}
}

// discard gives up what arrived on a host, as a Resume of somebody else does.
func (w world) discard(on string) {
	l, err := w.Host(on).Hold(w.guest.UUID)
	require.NoError(w.t, err)
	defer l.Release()
	r, err := l.Record()
	require.NoError(w.t, err)
	require.NoError(w.t, l.Discard(w.t.Context()))
	r.State = owner.Aborted
	require.NoError(w.t, l.SetRecord(r))
}

// TestLimit: disks and memory together keep to it.
func TestLimit(t *testing.T) {
	w := newBigWorld(t)
	w.mode = migrate.Live
	began := time.Now()
	const rate = 20 << 20
	report, err := w.move(t.Context(), "curacao", &migrate.Options{Limit: rate})
	require.NoError(t, err)
	require.Equal(t, "islay", w.lives("after the move"))
	sent := report.Memory.Wire
	for _, p := range report.Passes {
		sent += p.Wire
	}
	at := float64(sent) / time.Since(began).Seconds()
	t.Logf("%d bytes, %.0f a second", sent, at)
	assert.LessOrEqual(t, at, float64(rate)*1.05)
}
