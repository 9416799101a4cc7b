package shapingtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/shaping"
)

// Site is a host on which nothing carries our mark yet.
type Site struct {
	Manager shaping.Manager
	// Uplinks are two interfaces without a queue of their own.
	Uplinks [2]string
	// Plug makes an interface of that name, as a starting domain does; Unplug
	// takes it away.
	Plug, Unplug func(t *testing.T, name string)
	// Plant makes an interface with a queue that somebody else made, and checks
	// at the test's end that it is still there.
	Plant func(t *testing.T, name string)
	// Now is the manager's clock, and Pass lets it go on.
	Now  func() time.Time
	Pass func(time.Duration)
}

// TestManager is the conformance suite of shaping.Manager. site is called for
// each case and gives a fresh host.
func TestManager(t *testing.T, site func(t *testing.T) Site) {
	for _, c := range []struct {
		name string
		run  func(s suite, t *testing.T)
	}{
		{"a fresh host has nothing of ours", suite.fresh},
		{"what is set is read", suite.set},
		{"setting again changes nothing", suite.setAgain},
		{"a guest's part is replaced whole", suite.replace},
		{"removing what is not there is no error", suite.remove},
		{"guests do not touch each other", suite.apart},
		{"a guest without limits is kept", suite.unlimited},
		{"a vif belongs to one guest", suite.conflicts},
		{"what no host takes is invalid", suite.invalid},
		{"uploads need an uplink", suite.noUplink},
		{"the uplink promises what it has", suite.overcommitted},
		{"a refused change leaves the old part", suite.refused},
		{"a plan is applied and then empty", suite.apply},
		{"applying nothing removes all", suite.applyNothing},
		{"whatever is there becomes what is wanted", suite.walk},
		{"what contradicts itself is refused whole", suite.twins},
		{"vifs change hands in one apply", suite.swap},
		{"the uplink gets another rate", suite.rerate},
		{"the uplink becomes another one", suite.moveUplink},
		{"an uplink must be there", suite.missingUplink},
		{"queues that are not ours stay", suite.foreign},
		{"a vif that comes is limited by refresh", suite.plugged},
		{"a vif that comes back is limited by set", suite.rebooted},
		{"a keeper limits vifs that come", suite.kept},
		{"what a guest sends is limited", suite.sends},
		{"refresh does not stop at what is foreign", suite.refreshForeign},
		{"a throttle ends by itself", suite.throttle},
		{"a throttle is taken off", suite.unthrottle},
		{"a throttle that is over is not set", suite.overdue},
		{"a throttled guest keeps its promise", suite.throttledPromise},
		{"counters are listed", suite.counters},
		{"many set at the same time", suite.concurrent},
		{"a cancelled call changes nothing", suite.cancelled},
		{"what is passed in is copied", suite.copies},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(suite{site(t)}, t) })
	}
}

// suite is one case's host.
type suite struct{ Site }

// guest is guest number n with one vif that is there and a plain plan.
func (s suite) guest(t *testing.T, n byte) shaping.Guest {
	g := absent(n)
	s.Plug(t, g.Vifs[0])
	return g
}

// absent is guest number n while it is off.
func absent(n byte) shaping.Guest {
	return shaping.Guest{
		UUID:   uuid.UUID{0xa0, 0, 0, n, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, n},
		Vifs:   []string{fmt.Sprintf("xa00000%02x.0", n)},
		Policy: shaping.Policy{Download: 100 * shaping.Mbit, Upload: 10 * shaping.Mbit, Ceil: 50 * shaping.Mbit},
	}
}

func (s suite) uplink() shaping.Uplink {
	return shaping.Uplink{Dev: s.Uplinks[0], Rate: shaping.Gbit, Dom0: 200 * shaping.Mbit}
}

// withUplink applies the uplink alone.
func (s suite) withUplink(t *testing.T) {
	t.Helper()
	s.makes(t, shaping.State{Uplink: s.uplink()})
}

func (s suite) read(t *testing.T) shaping.State {
	t.Helper()
	have, err := s.Manager.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, have.Normalize(), have, "Read gives the normal form")
	return have
}

// holds checks that exactly these guests are there, and the uplink.
func (s suite) holds(t *testing.T, guests ...shaping.Guest) {
	t.Helper()
	assert.Equal(t, shaping.State{Uplink: s.uplink(), Guests: guests}.Normalize(), s.read(t))
}

// makes applies want and checks plan, outcome and that there is no more to do.
func (s suite) makes(t *testing.T, want shaping.State) {
	t.Helper()
	expected := shaping.Diff(s.read(t), want)
	plan, err := s.Manager.Apply(t.Context(), want)
	require.NoError(t, err)
	assert.Equal(t, expected, plan)
	assert.Equal(t, want.Normalize(), s.read(t))
	plan, err = s.Manager.Apply(t.Context(), want)
	require.NoError(t, err)
	assert.True(t, plan.Empty(), "%v", plan)
}

// refusesWhole checks that Apply says word and changes nothing.
func (s suite) refusesWhole(t *testing.T, word error, want shaping.State) {
	t.Helper()
	before := s.read(t)
	_, err := s.Manager.Apply(t.Context(), want)
	require.ErrorIs(t, err, word)
	assert.Equal(t, before, s.read(t))
}

// refuses checks that Set says word and changes nothing.
func (s suite) refuses(t *testing.T, word error, g shaping.Guest) {
	t.Helper()
	before := s.read(t)
	err := s.Manager.Set(t.Context(), g)
	require.ErrorIs(t, err, word, "%v", g)
	var e *shaping.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "set", e.Op)
	assert.Equal(t, g.UUID.String(), e.Name)
	assert.Equal(t, before, s.read(t))
}

func (s suite) fresh(t *testing.T) { assert.Equal(t, shaping.State{}, s.read(t)) }

func (s suite) concurrent(t *testing.T) {
	const n = 8
	s.withUplink(t)
	var wait sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wait.Go(func() { errs[i] = s.Manager.Set(t.Context(), absent(byte(i+1))) })
	}
	wait.Wait()
	var want []shaping.Guest
	for i := range n {
		require.NoError(t, errs[i])
		want = append(want, absent(byte(i+1)))
	}
	s.holds(t, want...)
}

func (s suite) cancelled(t *testing.T) {
	s.withUplink(t)
	g := s.guest(t, 1)
	require.NoError(t, s.Manager.Set(t.Context(), g))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Manager.Read(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Manager.Apply(ctx, shaping.State{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Manager.Refresh(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Manager.Counters(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, s.Manager.Set(ctx, absent(2)), context.Canceled)
	require.ErrorIs(t, s.Manager.Remove(ctx, g.UUID), context.Canceled)
	s.holds(t, g)
}

func (s suite) copies(t *testing.T) {
	s.withUplink(t)
	g := s.guest(t, 1)
	require.NoError(t, s.Manager.Set(t.Context(), g))
	g.Vifs[0] = "other"
	s.read(t).Guests[0].Vifs[0] = "another"
	s.holds(t, absent(1))
}
