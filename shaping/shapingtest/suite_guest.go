package shapingtest

import (
	"io/fs"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/shaping"
)

// Cases of Set and Remove, which are about one guest.

func (s suite) set(t *testing.T) {
	s.withUplink(t)
	g := s.guest(t, 1)
	g.Vifs = append(g.Vifs, "xa0000001.1")
	s.Plug(t, g.Vifs[1])
	g.Policy = shaping.Policy{
		Download: 12345 * shaping.Kbit, Upload: 10 * shaping.Mbit, Ceil: 100 * shaping.Gbit,
		Burst: 100 << 20, Weight: 100, Priority: 7,
	}
	g.Throttle = shaping.Throttle{Rate: 64 * shaping.Kbit, Until: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.holds(t, g)
}

func (s suite) setAgain(t *testing.T) {
	s.withUplink(t)
	g := s.guest(t, 1)
	for range 2 {
		require.NoError(t, s.Manager.Set(t.Context(), g))
		s.holds(t, g)
	}
	g.Vifs = append(g.Vifs, g.Vifs[0])
	g.Policy.Weight = 1
	require.NoError(t, s.Manager.Set(t.Context(), g), "another form of the same")
	s.holds(t, absent(1))
}

func (s suite) sends(t *testing.T) {
	g := s.guest(t, 1)
	g.Policy = shaping.Policy{Send: 100 * shaping.Mbit}
	holds := func() {
		t.Helper()
		assert.Equal(t, shaping.State{Guests: []shaping.Guest{g}}, s.read(t))
	}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	holds()
	g.Policy.Send = shaping.Mbit
	g.Policy.Download = 2 * shaping.Mbit
	require.NoError(t, s.Manager.Set(t.Context(), g))
	holds()
	s.Unplug(t, g.Vifs[0]) // the guest reboots
	s.Plug(t, g.Vifs[0])
	assert.Equal(t, shaping.Policy{}, s.read(t).Guests[0].Policy)
	_, err := s.Manager.Refresh(t.Context())
	require.NoError(t, err)
	holds()
	other := s.guest(t, 2)
	other.Policy = shaping.Policy{Send: 5 * shaping.Mbit}
	s.makes(t, shaping.State{Guests: []shaping.Guest{g, other}})
	s.makes(t, shaping.State{Guests: []shaping.Guest{other}})
	other.Policy = shaping.Policy{}
	require.NoError(t, s.Manager.Set(t.Context(), other))
	s.makes(t, shaping.State{Guests: []shaping.Guest{other}})
	s.makes(t, shaping.State{})
}

func (s suite) replace(t *testing.T) {
	s.withUplink(t)
	g := s.guest(t, 1)
	require.NoError(t, s.Manager.Set(t.Context(), g))
	g.Vifs = []string{"xa0000001.1"}
	s.Plug(t, g.Vifs[0])
	g.Policy = shaping.Policy{Download: shaping.Mbit, Priority: 3}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.holds(t, g)
	g.Policy = shaping.Policy{Upload: 20 * shaping.Mbit, Weight: 2}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.holds(t, g)
}

func (s suite) remove(t *testing.T) {
	s.withUplink(t)
	g := s.guest(t, 1)
	require.NoError(t, s.Manager.Remove(t.Context(), g.UUID))
	require.NoError(t, s.Manager.Set(t.Context(), g))
	for range 2 {
		require.NoError(t, s.Manager.Remove(t.Context(), g.UUID))
		s.holds(t)
	}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.holds(t, g)
}

func (s suite) apart(t *testing.T) {
	s.withUplink(t)
	a, b, c := s.guest(t, 1), absent(2), s.guest(t, 3)
	for _, g := range []shaping.Guest{b, c, a} {
		require.NoError(t, s.Manager.Set(t.Context(), g))
	}
	require.NoError(t, s.Manager.Remove(t.Context(), b.UUID))
	s.holds(t, a, c)
	d := s.guest(t, 4)
	require.NoError(t, s.Manager.Set(t.Context(), d))
	s.holds(t, a, c, d)
}

func (s suite) unlimited(t *testing.T) {
	g := s.guest(t, 1)
	g.Policy = shaping.Policy{}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	assert.Equal(t, shaping.State{Guests: []shaping.Guest{g}}, s.read(t))
	require.NoError(t, s.Manager.Remove(t.Context(), g.UUID))
	assert.Equal(t, shaping.State{}, s.read(t))
	s.withUplink(t)
	require.NoError(t, s.Manager.Set(t.Context(), g))
	s.holds(t, g)
}

func (s suite) conflicts(t *testing.T) {
	s.withUplink(t)
	for _, order := range [][2]byte{{1, 2}, {2, 1}} {
		first, second := absent(order[0]), absent(order[1])
		require.NoError(t, s.Manager.Set(t.Context(), first))
		second.Vifs = first.Vifs
		s.refuses(t, shaping.ErrConflict, second)
		require.NoError(t, s.Manager.Remove(t.Context(), first.UUID))
	}
	g := absent(1)
	g.Vifs = append(g.Vifs, s.Uplinks[0])
	s.refuses(t, shaping.ErrConflict, g)
}

func (s suite) invalid(t *testing.T) {
	s.withUplink(t)
	for name, spoil := range map[string]func(*shaping.Guest){
		"no UUID":             func(g *shaping.Guest) { g.UUID = uuid.Nil },
		"no vif":              func(g *shaping.Guest) { g.Vifs = nil },
		"vif of 16 bytes":     func(g *shaping.Guest) { g.Vifs[0] = "x234567890123456" },
		"vif with a slash":    func(g *shaping.Guest) { g.Vifs[0] = "a/b" },
		"vif as an option":    func(g *shaping.Guest) { g.Vifs[0] = "-i" },
		"rate too low":        func(g *shaping.Guest) { g.Policy.Download = shaping.MinRate - 1 },
		"rate too high":       func(g *shaping.Guest) { g.Policy.Download = shaping.MaxRate + 1 },
		"negative rate":       func(g *shaping.Guest) { g.Policy.Upload = -shaping.Mbit },
		"ceil below upload":   func(g *shaping.Guest) { g.Policy.Ceil = g.Policy.Upload - shaping.Kbit },
		"negative burst":      func(g *shaping.Guest) { g.Policy.Burst = -1 },
		"burst for an hour":   func(g *shaping.Guest) { g.Policy.Burst = 3600 * 10_000_000 / 8 },
		"weight":              func(g *shaping.Guest) { g.Policy.Weight = shaping.MaxWeight + 1 },
		"negative weight":     func(g *shaping.Guest) { g.Policy.Weight = -1 },
		"priority":            func(g *shaping.Guest) { g.Policy.Priority = shaping.MaxPriority + 1 },
		"throttle rate":       func(g *shaping.Guest) { g.Throttle.Rate = 1 },
		"throttle of no rate": func(g *shaping.Guest) { g.Throttle.Until = s.Now().Add(time.Hour) },
		"throttle for too long": func(g *shaping.Guest) {
			g.Throttle = shaping.Throttle{Rate: shaping.Mbit, Until: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}
		},
	} {
		g := absent(1)
		spoil(&g)
		t.Run(name, func(t *testing.T) { s.refuses(t, shaping.ErrInvalid, g) })
	}
}

func (s suite) noUplink(t *testing.T) {
	g := s.guest(t, 1)
	s.refuses(t, fs.ErrNotExist, g)
	g.Policy = shaping.Policy{Ceil: shaping.Mbit}
	s.refuses(t, fs.ErrNotExist, g)
	g.Policy = shaping.Policy{Download: shaping.Mbit}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	assert.Equal(t, shaping.State{Guests: []shaping.Guest{g}}, s.read(t))
}

func (s suite) overcommitted(t *testing.T) {
	s.withUplink(t) // 1 Gbit/s, 200 Mbit/s of it dom0's
	g := s.guest(t, 1)
	g.Policy = shaping.Policy{Upload: 500 * shaping.Mbit}
	require.NoError(t, s.Manager.Set(t.Context(), g))
	other := absent(2)
	other.Policy = shaping.Policy{Upload: 301 * shaping.Mbit}
	s.refuses(t, shaping.ErrOvercommitted, other)
	other.Policy = shaping.Policy{Upload: 300 * shaping.Mbit, Ceil: shaping.Gbit}
	require.NoError(t, s.Manager.Set(t.Context(), other))
	s.holds(t, g, other)
	s.refusesWhole(t, shaping.ErrOvercommitted, shaping.State{
		Uplink: shaping.Uplink{Dev: s.Uplinks[0], Rate: 900 * shaping.Mbit, Dom0: 200 * shaping.Mbit},
		Guests: []shaping.Guest{g, other},
	})
}

func (s suite) refused(t *testing.T) {
	s.withUplink(t)
	g := s.guest(t, 1)
	require.NoError(t, s.Manager.Set(t.Context(), g))
	worse := absent(1)
	worse.Policy.Upload = 900 * shaping.Mbit
	worse.Policy.Ceil = shaping.Gbit
	s.refuses(t, shaping.ErrOvercommitted, worse)
	s.holds(t, g)
}

func (s suite) counters(t *testing.T) {
	s.withUplink(t)
	a, b := s.guest(t, 1), absent(2)
	require.NoError(t, s.Manager.Set(t.Context(), b))
	require.NoError(t, s.Manager.Set(t.Context(), a))
	all, err := s.Manager.Counters(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, []uuid.UUID{a.UUID, b.UUID}, []uuid.UUID{all[0].UUID, all[1].UUID})
	assert.Zero(t, all[1].Download, "its vif is not there")
	assert.Zero(t, all[1].Upload)
}
