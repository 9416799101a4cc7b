package islandtest

import (
	"context"
	"io/fs"
	"net/netip"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/island"
)

// Sample is an island with a way out by xenext.
func Sample() island.Island {
	return island.Island{UUID: uuid.New(), Out: "xenext", Links: []island.Link{{
		Gateways:  []netip.Prefix{netip.MustParsePrefix("192.168.0.1/16")},
		Addresses: []netip.Addr{netip.MustParseAddr("192.168.0.10")},
	}}}
}

// TestManager is the suite. open returns a host that has an interface xenext and
// no islands, and a function that makes an interface there which is not ours.
func TestManager(t *testing.T, open func(t *testing.T) (m island.Manager, occupy func(name string))) {
	t.Run("two with one address", func(t *testing.T) {
		m, _ := open(t)
		a, b := Sample(), Sample()
		require.NoError(t, m.Set(t.Context(), a))
		require.NoError(t, m.Set(t.Context(), a), "it is there already")
		require.NoError(t, m.Set(t.Context(), b))
		require.ElementsMatch(t, []uuid.UUID{a.UUID, b.UUID}, list(t, m))
		require.NoError(t, m.Remove(t.Context(), a.UUID))
		require.Equal(t, []uuid.UUID{b.UUID}, list(t, m))
		require.NoError(t, m.Remove(t.Context(), a.UUID), "it is gone already")
		require.NoError(t, m.Remove(t.Context(), b.UUID))
		require.Empty(t, list(t, m))
	})
	t.Run("changed", func(t *testing.T) {
		m, _ := open(t)
		i := Sample()
		require.NoError(t, m.Set(t.Context(), i))
		i.Out = ""
		i.Links = append(i.Links, island.Link{Gateways: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}})
		require.NoError(t, m.Set(t.Context(), i))
		require.Equal(t, []uuid.UUID{i.UUID}, list(t, m))
		i = island.Island{UUID: i.UUID, Out: "xenext", Links: i.Links[1:]}
		require.NoError(t, m.Set(t.Context(), i))
		require.NoError(t, m.Remove(t.Context(), i.UUID))
		require.Empty(t, list(t, m))
	})
	t.Run("refused", func(t *testing.T) {
		m, occupy := open(t)
		for name, change := range map[string]func(*island.Island){
			"no guest":         func(i *island.Island) { i.UUID = uuid.Nil },
			"no link":          func(i *island.Island) { i.Links = nil },
			"too many links":   func(i *island.Island) { i.Links = make([]island.Link, island.MaxLinks+1) },
			"a name with tail": func(i *island.Island) { i.Out = `x" drop; #` },
			"an option":        func(i *island.Island) { i.Out = "-x" },
			"no gateway":       func(i *island.Island) { i.Links[0].Gateways = nil },
			"IPv6 gateway":     func(i *island.Island) { i.Links[0].Gateways[0] = netip.MustParsePrefix("fd00::1/64") },
			"gateway and guest": func(i *island.Island) {
				i.Links[0].Addresses[0] = i.Links[0].Gateways[0].Addr()
			},
			"no address": func(i *island.Island) { i.Links[0].Addresses[0] = netip.Addr{} },
		} {
			i := Sample()
			change(&i)
			assert.ErrorIs(t, m.Set(t.Context(), i), network.ErrInvalid, name)
		}
		i := Sample()
		i.Out = "nowhere"
		require.ErrorIs(t, m.Set(t.Context(), i), fs.ErrNotExist)
		i = Sample()
		occupy(island.BridgeName(i.UUID, 0))
		require.ErrorIs(t, m.Set(t.Context(), i), network.ErrForeign)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, m.Set(ctx, Sample()), context.Canceled)
		require.Empty(t, list(t, m), "nothing was begun")
	})
	t.Run("names that collide", func(t *testing.T) {
		m, _ := open(t)
		a, b := Sample(), Sample()
		copy(b.UUID[:4], a.UUID[:4])
		require.NoError(t, m.Set(t.Context(), a))
		require.ErrorIs(t, m.Set(t.Context(), b), network.ErrForeign)
		require.NoError(t, m.Remove(t.Context(), b.UUID))
		require.Equal(t, []uuid.UUID{a.UUID}, list(t, m))
		require.NoError(t, m.Remove(t.Context(), a.UUID))
	})
}

func list(t *testing.T, m island.Manager) []uuid.UUID {
	t.Helper()
	all, err := m.List(t.Context())
	require.NoError(t, err)
	return all
}
