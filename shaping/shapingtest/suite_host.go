package shapingtest

import (
	"context"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/shaping"
)

// Cases of Apply and Refresh, which are about the whole host.

func (s suite) apply(t *testing.T) {
	a, b := s.guest(t, 1), absent(2)
	b.Policy = shaping.Policy{Upload: shaping.Mbit, Ceil: shaping.Gbit, Weight: 3}
	want := shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{b, a}}
	s.makes(t, want)
	b.Policy.Weight, b.Policy.Ceil = 4, 0
	s.makes(t, shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{b, s.guest(t, 3)}})
	s.makes(t, shaping.State{Uplink: s.uplink()})
}

func (s suite) applyNothing(t *testing.T) {
	s.makes(t, shaping.State{})
	s.makes(t, shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{s.guest(t, 1), absent(2)}})
	s.makes(t, shaping.State{})
	s.makes(t, shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{absent(2)}})
}

func (s suite) twins(t *testing.T) {
	g := absent(1)
	s.refusesWhole(t, shaping.ErrInvalid, shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{g, g}})
	other := absent(2)
	other.Vifs = g.Vifs
	s.refusesWhole(t, shaping.ErrConflict, shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{g, other}})
}

func (s suite) swap(t *testing.T) {
	a, b := s.guest(t, 1), s.guest(t, 2)
	b.Policy.Download = shaping.Mbit
	s.makes(t, shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{a, b}})
	a.Vifs, b.Vifs = b.Vifs, a.Vifs
	s.makes(t, shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{a, b}})
	a.Vifs, b.Vifs = append(a.Vifs, b.Vifs...), []string{"xa0000002.1"}
	s.makes(t, shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{a, b}})
}

func (s suite) rerate(t *testing.T) {
	want := shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{s.guest(t, 1)}}
	s.makes(t, want)
	want.Uplink.Rate, want.Uplink.Dom0 = 40*shaping.Gbit, 0
	s.makes(t, want)
	assert.Equal(t, 4*shaping.Gbit, s.read(t).Uplink.Dom0, "a tenth")
}

func (s suite) moveUplink(t *testing.T) {
	want := shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{s.guest(t, 1)}}
	s.makes(t, want)
	want.Uplink.Dev = s.Uplinks[1]
	s.makes(t, want)
	s.makes(t, shaping.State{})
}

func (s suite) missingUplink(t *testing.T) {
	u := s.uplink()
	u.Dev = "nosuch0"
	s.refusesWhole(t, fs.ErrNotExist, shaping.State{Uplink: u})
	for _, spoil := range []func(*shaping.Uplink){
		func(u *shaping.Uplink) { u.Rate = 0 },
		func(u *shaping.Uplink) { u.Rate = 1 },
		func(u *shaping.Uplink) { u.Dev = "" },
		func(u *shaping.Uplink) { u.Dev = "a b" },
	} {
		u := s.uplink()
		spoil(&u)
		s.refusesWhole(t, shaping.ErrInvalid, shaping.State{Uplink: u})
	}
	u = s.uplink()
	u.Dom0 = u.Rate + 1
	s.refusesWhole(t, shaping.ErrOvercommitted, shaping.State{Uplink: u})
}

func (s suite) foreign(t *testing.T) {
	s.withUplink(t)
	u := s.uplink()
	u.Dev = "xhforeign0"
	s.Plant(t, u.Dev)
	s.refusesWhole(t, shaping.ErrForeign, shaping.State{Uplink: u})
	g := absent(1)
	g.Vifs = []string{u.Dev}
	s.refuses(t, shaping.ErrForeign, g)
	s.refusesWhole(t, shaping.ErrForeign, shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{absent(2), g}})
	g.Policy.Download = 0
	require.NoError(t, s.Manager.Set(t.Context(), g), "nothing of ours has to stand there")
	s.holds(t, g)
}

func (s suite) plugged(t *testing.T) {
	s.withUplink(t)
	g := absent(1)
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.holds(t, g)
	for range 2 { // a domain that starts, and one that reboots
		s.Plug(t, g.Vifs[0])
		s.holds(t, shaping.Guest{UUID: g.UUID, Vifs: g.Vifs})
		next, err := s.Manager.Refresh(t.Context())
		require.NoError(t, err)
		assert.Zero(t, next)
		s.holds(t, g)
		s.Unplug(t, g.Vifs[0])
		s.holds(t, g)
	}
}

func (s suite) kept(t *testing.T) {
	keeper, ok := s.Manager.(shaping.Keeper)
	if !ok {
		t.Skip("this manager does not stay")
	}
	s.withUplink(t)
	g := absent(1)
	require.NoError(t, s.Manager.Set(t.Context(), g))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- keeper.Keep(ctx, &shaping.KeepOptions{Every: time.Hour}) }()
	for range 2 { // a domain that starts, and one that reboots
		s.Plug(t, g.Vifs[0])
		require.Eventually(t, func() bool {
			have, err := s.Manager.Read(t.Context())
			in, _ := have.Guest(g.UUID)
			return err == nil && assert.ObjectsAreEqual(g.Normalize(), in)
		}, 10*time.Second, time.Millisecond)
		s.Unplug(t, g.Vifs[0])
	}
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func (s suite) rebooted(t *testing.T) {
	s.withUplink(t)
	g := s.guest(t, 1)
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.Unplug(t, g.Vifs[0])
	s.Plug(t, g.Vifs[0])
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.holds(t, g)
}

func (s suite) refreshForeign(t *testing.T) {
	s.withUplink(t)
	a, b := absent(1), absent(2)
	b.Throttle = shaping.Throttle{Rate: shaping.Mbit, Until: s.Now().Add(10 * time.Second).UTC().Truncate(time.Second)}
	require.NoError(t, s.Manager.Set(t.Context(), a))
	require.NoError(t, s.Manager.Set(t.Context(), b))
	s.Plant(t, a.Vifs[0])
	s.Plug(t, b.Vifs[0])
	next, err := s.Manager.Refresh(t.Context())
	require.ErrorIs(t, err, shaping.ErrForeign)
	require.ErrorContains(t, err, a.UUID.String())
	assert.Equal(t, b.Throttle.Until, next)
	s.holds(t, shaping.Guest{UUID: a.UUID, Vifs: a.Vifs}, b)
	s.Unplug(t, a.Vifs[0])
	_, err = s.Manager.Refresh(t.Context())
	require.NoError(t, err)
	s.holds(t, a, b)
}

func (s suite) throttle(t *testing.T) {
	s.withUplink(t)
	g, long := s.guest(t, 1), s.guest(t, 2)
	until := func(d time.Duration) time.Time { return s.Now().Add(d).UTC().Truncate(time.Second) }
	g.Throttle = shaping.Throttle{Rate: shaping.Mbit, Until: until(10 * time.Second)}
	long.Throttle = shaping.Throttle{Rate: 2 * shaping.Mbit, Until: until(time.Hour)}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	require.NoError(t, s.Manager.Set(t.Context(), long))
	s.holds(t, g, long)
	next, err := s.Manager.Refresh(t.Context())
	require.NoError(t, err)
	assert.Equal(t, g.Throttle.Until, next)
	s.holds(t, g, long)
	s.Pass(10 * time.Second)
	next, err = s.Manager.Refresh(t.Context())
	require.NoError(t, err)
	assert.Equal(t, long.Throttle.Until, next)
	s.holds(t, absent(1), long)
}

func (s suite) unthrottle(t *testing.T) {
	s.withUplink(t)
	g := s.guest(t, 1)
	g.Throttle = shaping.Throttle{Rate: shaping.Mbit}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.Pass(1000 * time.Hour)
	next, err := s.Manager.Refresh(t.Context())
	require.NoError(t, err)
	assert.Zero(t, next, "it has no end")
	s.holds(t, g)
	require.NoError(t, s.Manager.Set(t.Context(), absent(1)))
	s.holds(t, absent(1))
}

func (s suite) overdue(t *testing.T) {
	s.withUplink(t)
	g := s.guest(t, 1)
	g.Throttle = shaping.Throttle{Rate: shaping.Mbit, Until: s.Now()}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.holds(t, absent(1))
	plan, err := s.Manager.Apply(t.Context(), shaping.State{Uplink: s.uplink(), Guests: []shaping.Guest{g}})
	require.NoError(t, err)
	assert.True(t, plan.Empty())
}

func (s suite) throttledPromise(t *testing.T) {
	s.withUplink(t)
	g := s.guest(t, 1)
	g.Policy.Upload, g.Policy.Ceil = 800*shaping.Mbit, 0
	g.Throttle.Rate = shaping.Mbit
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.refuses(t, shaping.ErrOvercommitted, absent(2))
	g.Throttle = shaping.Throttle{}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.holds(t, g)
}
