package clone_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/clone"
	"github.com/xenhost/xenhost/xen/host"
)

// eachDeath runs work until it is killed at each of its steps, before and after,
// and then look. prepare makes the world anew each time.
func eachDeath(t *testing.T, prepare func(t *testing.T) *world, work func(w *world, h *host.Host) error, look func(t *testing.T, w *world)) {
	for _, after := range []bool{false, true} {
		for step := 1; ; step++ {
			w := prepare(t)
			p := &plug{kill: step, after: after}
			var err error
			if !dies(t, func() { err = work(w, w.open(p)) }) {
				require.NoError(t, err)
				require.Greater(t, p.steps, 4, "steps that were counted")
				t.Logf("after %t: %d steps", after, p.steps)
				break
			}
			look(t, w)
			if t.Failed() {
				t.Fatalf("killed at step %d, after %t", step, after)
			}
		}
	}
}

func thinAndThick(t *testing.T, f func(t *testing.T, thin bool)) {
	t.Run("thick", func(t *testing.T) { f(t, false) })
	t.Run("thin", func(t *testing.T) { f(t, true) })
}

func TestMakeIsKilled(t *testing.T) {
	thinAndThick(t, func(t *testing.T, thin bool) {
		var clean string
		prepare := func(t *testing.T) *world {
			w := newWorld(t, 0, thin)
			clean = w.fabric(t)
			return w
		}
		work := func(w *world, h *host.Host) error {
			_, err := clone.Make(t.Context(), h, w.web1.UUID, &clone.Options{Out: "xenext", Now: at(noon)})
			return err
		}
		t.Run("sweep", func(t *testing.T) {
			eachDeath(t, prepare, work, func(t *testing.T, w *world) {
				_, err := clone.Sweep(t.Context(), w.Host, noon.Add(25*time.Hour))
				require.NoError(t, err)
				require.Equal(t, clean, w.fabric(t))
				w.whole(t)
			})
		})
		t.Run("again", func(t *testing.T) {
			eachDeath(t, prepare, work, func(t *testing.T, w *world) {
				c, err := clone.Make(t.Context(), w.Host, w.web1.UUID, &clone.Options{Out: "xenext"})
				if err != nil { // it was whole but for its start
					require.ErrorIs(t, err, fsErrExist)
					all, err := clone.List(t.Context(), w.Host)
					require.NoError(t, err)
					require.Len(t, all, 1)
					c = all[0]
				}
				w.holds(t, before, c.Disks...)
				require.NoError(t, clone.Discard(t.Context(), w.Host, c.UUID))
				require.Equal(t, clean, w.fabric(t))
				w.whole(t)
			})
		})
	})
}

func TestDiscardIsKilled(t *testing.T) {
	var clean string
	var c clone.Clone
	eachDeath(t, func(t *testing.T) *world {
		w := newWorld(t, 0, false)
		clean = w.fabric(t)
		c = w.make(t, &clone.Options{Out: "xenext", Now: at(noon)})
		return w
	}, func(w *world, h *host.Host) error {
		return clone.Discard(t.Context(), h, c.UUID)
	}, func(t *testing.T, w *world) {
		_, err := clone.Sweep(t.Context(), w.Host, noon.Add(25*time.Hour))
		require.NoError(t, err)
		require.Equal(t, clean, w.fabric(t))
		w.whole(t)
	})
}

// promoting prepares a clone that differs from its guest, which differs from
// what it was then.
func promoting(thin bool, c *clone.Clone) func(t *testing.T) *world {
	return func(t *testing.T) *world {
		w := newWorld(t, 0, thin)
		*c = w.make(t, &clone.Options{Out: "xenext", Now: at(noon)})
		s, err := w.Guest(t.Context(), c.UUID)
		require.NoError(t, err)
		w.write(t, s.Guest.Disks, tried)
		w.write(t, w.web1.Disks, after)
		return w
	}
}

// mixed: no start of the guest ever sees the disk of one and of the other.
func (w *world) neverMixed(t *testing.T) {
	t.Helper()
	_ = w.Start(t.Context(), w.web1.UUID) // may be refused
	s, err := w.Guest(t.Context(), w.web1.UUID)
	require.NoError(t, err)
	if s.Domain == nil {
		return
	}
	var texts []string
	for _, d := range w.web1.Disks {
		dev, err := w.volumes.Open(t.Context(), d.Volume)
		require.NoError(t, err)
		b := make([]byte, 20)
		_, err = dev.ReadAt(b, 4096)
		require.NoError(t, err)
		require.NoError(t, dev.Close())
		texts = append(texts, string(b[:18]))
	}
	require.Equal(t, texts[0], texts[1])
}

func TestPromoteIsKilled(t *testing.T) {
	thinAndThick(t, func(t *testing.T, thin bool) {
		var c clone.Clone
		work := func(w *world, h *host.Host) error {
			_, err := clone.Promote(t.Context(), h, c.UUID)
			return err
		}
		done := func(t *testing.T, w *world) {
			all, err := clone.List(t.Context(), w.Host)
			require.NoError(t, err)
			require.Empty(t, all)
			require.NoError(t, w.Start(t.Context(), w.web1.UUID), "killed before the last step it is off")
			w.whole(t)
			w.holds(t, tried, w.disks()...)
			w.holds(t, after, w.rollbacks()...)
			require.NoError(t, w.Rollback(t.Context(), w.web1.UUID))
			w.holds(t, after, w.disks()...)
			w.whole(t)
		}
		t.Run("again", func(t *testing.T) {
			eachDeath(t, promoting(thin, &c), work, func(t *testing.T, w *world) {
				w.neverMixed(t)
				all, err := clone.List(t.Context(), w.Host)
				require.NoError(t, err)
				if len(all) > 0 {
					_, err := clone.Promote(t.Context(), w.Host, c.UUID)
					require.NoError(t, err)
				}
				done(t, w)
			})
		})
		t.Run("sweep, long after", func(t *testing.T) {
			eachDeath(t, promoting(thin, &c), work, func(t *testing.T, w *world) {
				all, err := clone.List(t.Context(), w.Host)
				require.NoError(t, err)
				begun := len(all) == 0 || all[0].State == clone.Promoting
				if begun && len(all) > 0 {
					require.ErrorIs(t, clone.Discard(t.Context(), w.Host, c.UUID), host.ErrBusy)
				}
				_, err = clone.Sweep(t.Context(), w.Host, noon.Add(25*time.Hour))
				require.NoError(t, err)
				if begun {
					done(t, w)
					return
				}
				w.whole(t)
				w.holds(t, after, w.disks()...)
			})
		})
	})
}

func TestRollbackIsKilled(t *testing.T) {
	thinAndThick(t, func(t *testing.T, thin bool) {
		var c clone.Clone
		eachDeath(t, func(t *testing.T) *world {
			w := promoting(thin, &c)(t)
			_, err := clone.Promote(t.Context(), w.Host, c.UUID)
			require.NoError(t, err)
			return w
		}, func(w *world, h *host.Host) error {
			return h.Rollback(t.Context(), w.web1.UUID)
		}, func(t *testing.T, w *world) {
			w.neverMixed(t)
			err := w.Rollback(t.Context(), w.web1.UUID)
			if err != nil { // it was done but for the last steps
				require.ErrorIs(t, err, fsErrNotExist)
				require.NoError(t, w.Start(t.Context(), w.web1.UUID))
			}
			w.whole(t)
			w.holds(t, after, w.disks()...)
		})
	})
}
