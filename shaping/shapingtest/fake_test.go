package shapingtest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/shaping/shapingtest"
)

func TestFake(t *testing.T) {
	shapingtest.TestManager(t, func(*testing.T) shapingtest.Site {
		now := time.Date(2026, 11, 1, 12, 0, 0, 5e8, time.UTC)
		f := shapingtest.New(&shapingtest.Options{
			Interfaces: []string{"eth0", "eth1"}, Now: func() time.Time { return now },
		})
		return shapingtest.Site{
			Manager: f, Uplinks: [2]string{"eth0", "eth1"},
			Plug:   func(_ *testing.T, name string) { f.Plug(name) },
			Unplug: func(_ *testing.T, name string) { f.Unplug(name) },
			Plant:  func(_ *testing.T, name string) { f.Plant(name) },
			Now:    func() time.Time { return now },
			Pass:   func(d time.Duration) { now = now.Add(d) },
		}
	})
}

func web1() shaping.Guest {
	return shaping.Guest{
		UUID: uuid.MustParse("7f3a0000-0000-4000-8000-000000000001"), Vifs: []string{"x7f3a0000.0"},
		Policy: shaping.Policy{Download: 100 * shaping.Mbit},
	}
}

func TestFakeFaultsStrikeOnce(t *testing.T) {
	ctx := context.Background()
	f := shapingtest.New(nil)
	broken := errors.New("plug pulled")

	f.Fail("set", broken)
	require.ErrorIs(t, f.Set(ctx, web1()), broken)
	assert.Empty(t, f.String(), "Fail changes nothing")

	f.FailAfter("set", broken)
	require.ErrorIs(t, f.Set(ctx, web1()), broken)
	assert.NotEmpty(t, f.String(), "FailAfter does its work first")
	require.NoError(t, f.Set(ctx, web1()))
}

func TestFakePrintsItsWorld(t *testing.T) {
	ctx := context.Background()
	f := shapingtest.New(nil)
	_, err := f.Apply(ctx, shaping.State{Uplink: shaping.Uplink{Dev: "eth0", Rate: shaping.Gbit}, Guests: []shaping.Guest{web1()}})
	require.NoError(t, err)
	f.Plug("x7f3a0000.0")
	assert.Equal(t, `uplink eth0 rate 1gbit dom0 100mbit
guest 7f3a0000-0000-4000-8000-000000000001 on x7f3a0000.0: download 100mbit (not in force)
`, f.String())
}

func TestFakeCounts(t *testing.T) {
	ctx := context.Background()
	f := shapingtest.New(nil)
	g := web1()
	require.NoError(t, f.Set(ctx, g))
	f.Plug(g.Vifs[0])
	f.Carry(g.UUID, 1000, 200)
	f.Carry(g.UUID, 1, 2)
	all, err := f.Counters(ctx)
	require.NoError(t, err)
	assert.Equal(t, []shaping.Counter{{UUID: g.UUID, Download: shaping.Flow{Bytes: 1001}, Upload: shaping.Flow{Bytes: 202}}}, all)
	f.Unplug(g.Vifs[0])
	all, err = f.Counters(ctx)
	require.NoError(t, err)
	assert.Equal(t, []shaping.Counter{{UUID: g.UUID, Upload: shaping.Flow{Bytes: 202}}}, all, "a vif takes its counters with it")
}
