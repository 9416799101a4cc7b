package migrate_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// override plans and runs an override on one host alone.
func (w world) override(on, dead string) (migrate.Report, error) {
	o := owner.Override{Host: dead, Vouch: owner.PoweredOff}
	plan, err := migrate.PlanOverride(w.t.Context(), w.Host(on), w.guest.UUID, o, nil)
	if err != nil {
		return migrate.Report{}, err
	}
	assert.Contains(w.t, plan.String(), "you vouch for it that "+dead+" is powered off and that "+plan.Name+" runs nowhere else\n")
	assert.Contains(w.t, plan.String(), plan.Why)
	if strings.Contains(plan.Why, "is lost") {
		w.AcceptLoss(w.guest.UUID)
	}
	return plan.Run(w.t.Context())
}

// TestOverride: before each step of a move one of the hosts dies, and the
// mover. An operator settles it on the other one alone; when the dead one comes
// back and its peer answers, it starts nothing, and one Resume tidies it up.
func TestOverride(t *testing.T) {
	for _, mode := range []migrate.Mode{migrate.Cold, migrate.Live} {
		w := newWorld(t, nil)
		w.mode = mode
		s := &steps{n: -1}
		_, err := w.move(t.Context(), "curacao", s.options())
		require.NoError(t, err)
		for kill, step := range s.seen {
			for _, dead := range []string{"curacao", "islay"} {
				t.Run(string(mode)+" before "+step.String()+", "+dead+" dies", func(t *testing.T) {
					t.Parallel()
					overridden(t, mode, kill, dead)
				})
			}
		}
	}
}

func overridden(t *testing.T, mode migrate.Mode, kill int, dead string) {
	w, ctx := newWorld(t, nil), t.Context()
	w.mode = mode
	left := map[string]string{"curacao": "islay", "islay": "curacao"}[dead]
	require.True(t, migratetest.Kill(func() { _, _ = w.move(ctx, "curacao", (&steps{n: kill}).options()) }))
	w.PowerOff(dead)
	w.Cut()
	w.Mend()
	before, err := w.Host(left).Guest(ctx, w.guest.UUID)
	known := err == nil
	_, err = w.override(left, "jura")
	require.ErrorIs(t, err, migrate.ErrOverride, "not that host")

	report, err := w.override(left, dead)
	open := known && before.Owner.Peer == dead && before.Owner.State != owner.Released && before.Owner.State != owner.Aborted
	if !open {
		require.ErrorIs(t, err, migrate.ErrOverride, "nothing is open: %s", before.Owner.State)
	} else {
		require.NoError(t, err)
		require.Contains(t, []handover.Way{handover.Back, handover.Lift, handover.Forward, handover.Drop}, report.Way)
	}
	runs := report.Owner == left
	if runs {
		w.writes("after the override")
		now, err := w.Host(left).Guest(ctx, w.guest.UUID)
		require.NoError(t, err)
		assert.Equal(t, owner.Running, now.Owner.State)
		assert.Equal(t, owner.Override{Host: dead, Vouch: owner.PoweredOff}, now.Owner.Override)
		assert.Greater(t, now.Owner.Epoch, before.Owner.Epoch)
	}
	back, err := w.PowerOn(ctx, dead)
	require.NoError(t, err)
	require.NoError(t, w.Check(ctx))
	if runs {
		assert.Empty(t, back.Started)
	}
	_, err = w.resume(left, nil)
	require.NoError(t, err)
	on := w.lives("after the dead host came back")
	if runs {
		assert.Equal(t, left, on)
	}
}

// TestBootAsksItsPeers: a host that comes back after its guest was taken over
// behind its back does not start it, whatever its own record says; one that
// nobody answers does.
func TestBootAsksItsPeers(t *testing.T) {
	for _, answers := range []bool{true, false} {
		w, ctx := newWorld(t, nil), t.Context()
		ready := &steps{n: -1}
		died := migratetest.Kill(func() {
			_, _ = w.move(ctx, "curacao", &migrate.Options{OnStep: func(s handover.Step) error {
				if s.Name == handover.Fence { // islay is ready, curacao has given nothing up
					migratetest.Die()
				}
				return ready.options().OnStep(s)
			}})
		})
		require.True(t, died)
		w.PowerOff("curacao")
		report, err := w.override("islay", "curacao")
		require.NoError(t, err)
		assert.Equal(t, handover.Forward, report.Way)
		assert.Equal(t, "islay", report.Owner)
		assert.Contains(t, report.Why, "all that it wrote since then is lost")
		w.writes("on islay")
		if !answers {
			w.PowerOff("islay") // else two copies would run, as nobody could know better
		}
		boot, err := w.PowerOn(ctx, "curacao")
		require.NoError(t, err)
		s, err := w.Host("curacao").Guest(ctx, w.guest.UUID)
		require.NoError(t, err)
		if !answers {
			assert.Equal(t, []string{"islay"}, boot.Unheard)
			assert.Equal(t, host.BootReport{Unheard: boot.Unheard, Unfinished: boot.Unfinished, Started: boot.Started}, boot)
			assert.Len(t, boot.Started, 1, "its own record stands")
			continue
		}
		assert.Equal(t, s.Owner.UUID, boot.Superseded[0])
		assert.Empty(t, boot.Started)
		assert.Equal(t, owner.Fenced, s.Owner.State)
		assert.True(t, s.Volumes[0].Skip && !s.Volumes[0].Active)
		require.ErrorIs(t, w.Host("curacao").Start(ctx, w.guest.UUID), host.ErrNotOwner)
		require.NoError(t, w.Check(ctx))

		// The next boot needs nobody's answer any more.
		w.Cut()
		w.PowerOff("curacao")
		boot, err = w.PowerOn(ctx, "curacao")
		require.NoError(t, err)
		assert.Empty(t, boot.Started)
		w.Mend()
		resumed, err := w.resume("curacao", nil)
		require.NoError(t, err)
		assert.Equal(t, handover.Forward, resumed.Way)
		assert.Equal(t, "islay", w.lives("after Resume"))
		w.from, w.to = "islay", "curacao"
		_, err = w.move(ctx, "islay", nil)
		require.NoError(t, err, "it can go back")
		assert.Equal(t, "curacao", w.lives("back"))
	}
}

// TestPeersAreWhoTheyShouldBe: an answer from another host is none.
func TestPeersAreWhoTheyShouldBe(t *testing.T) {
	w := newWorld(t, nil)
	p := &migrate.Peers{Hosts: []migrate.Peer{{Name: "jura", Dial: func(ctx context.Context) (*migrate.Remote, error) {
		return w.Dial(ctx, "curacao", "islay")
	}}}}
	claims := p.Claims(t.Context(), nil)
	require.Len(t, claims, 1)
	require.ErrorIs(t, claims[0].Err, migrate.ErrProtocol)
}
