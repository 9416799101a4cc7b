package etcd_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/lock"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/xen/host"
)

// woken is the Locker of a mover that was stopped for long and believes that it
// still has its lease.
type woken struct{ lock.Lease }

func (w woken) Acquire(context.Context, uuid.UUID) (lock.Lease, error) { return w, nil }
func (w woken) Check(context.Context) error                            { return nil }
func (w woken) Lost() <-chan struct{}                                  { return nil }

// recorder keeps the last lease.
type recorder struct {
	lock.Locker
	last lock.Lease
}

func (r *recorder) Acquire(ctx context.Context, guest uuid.UUID) (lock.Lease, error) {
	l, err := r.Locker.Acquire(ctx, guest)
	r.last = l
	return l, err
}

// TestMoveInAPartition: the line between a mover and etcd is cut while it copies.
// Another one gets the lock; the first move ends with the guest where it was,
// the second one makes its move, and the hosts refuse the first one's token.
func TestMoveInAPartition(t *testing.T) {
	for _, mode := range []migrate.Mode{migrate.Cold, migrate.Live, migrate.TwoPass} {
		t.Run(string(mode), func(t *testing.T) {
			address, ctx := startEtcd(t), t.Context()
			line := newLine(t, address)
			w, err := migratetest.NewWorld(t.TempDir(), nil)
			require.NoError(t, err)
			t.Cleanup(w.Close)
			g, err := w.Provision(ctx, "curacao", w.Guest("web1", 1<<20))
			require.NoError(t, err)
			move := func(locks lock.Locker, cut func()) (migrate.Report, error) {
				islay, err := w.Dial(ctx, "curacao", "islay")
				require.NoError(t, err)
				defer islay.Close()
				plan, err := migrate.PlanMove(ctx, w.Host("curacao"), islay, g.UUID, mode, &migrate.Options{Locker: locks, OnStep: func(s handover.Step) error {
					if s.Name == handover.Copy && cut != nil {
						cut()
					}
					return nil
				}})
				require.NoError(t, err)
				return plan.Run(ctx)
			}

			first := &recorder{Locker: short(t, line.Addr().String(), "panel-1")}
			others := short(t, address, "panel-2")
			var second lock.Lease
			report, err := move(first, func() {
				line.cut()
				second, _ = eventually(t, others, g.UUID)
			})
			line.mend()
			require.ErrorIs(t, err, lock.ErrLost)
			assert.Equal(t, handover.Back, report.Way)
			require.NoError(t, w.Settled(ctx, g.UUID))
			require.Equal(t, "curacao", w.Where(ctx, g.UUID))

			_, err = move(short(t, address, "panel-3"), nil)
			require.ErrorIs(t, err, lock.ErrBusy)
			require.NoError(t, second.Release())
			_, err = move(others, nil)
			require.NoError(t, err)
			require.NoError(t, w.Settled(ctx, g.UUID))
			require.Equal(t, "islay", w.Where(ctx, g.UUID))
			islay, err := w.Dial(ctx, "curacao", "islay")
			require.NoError(t, err)
			_, err = migrate.Resume(ctx, w.Host("curacao"), islay, g.UUID, &migrate.Options{Locker: woken{first.last}})
			require.ErrorIs(t, err, host.ErrStale)
			require.NoError(t, w.Settled(ctx, g.UUID))
		})
	}
}
