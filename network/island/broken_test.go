package island_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/nstest"
	"github.com/xenhost/xenhost/network/island"
	"github.com/xenhost/xenhost/network/island/islandtest"
	"github.com/xenhost/xenhost/xen/dom0"
)

// dying is a runner that fails from its nth command on.
type dying struct{ left int }

var errDied = errors.New("died")

func (d *dying) Run(ctx context.Context, c dom0.Cmd) error {
	if d.left--; d.left < 0 {
		return errDied
	}
	return dom0.Local{}.Run(ctx, c)
}

// TestBrokenOff ends a Set before each of its commands; the next Set finishes
// it, and Remove leaves nothing.
func TestBrokenOff(t *testing.T) {
	space, whole := newHost(t)
	for n := 0; ; n++ {
		i := islandtest.Sample()
		m := island.New(&island.Options{NetNS: space.Path(), LockDir: t.TempDir(), Runner: &dying{n}})
		err := m.Set(t.Context(), i)
		if err == nil {
			require.GreaterOrEqual(t, n, 4, "commands of a Set")
			require.NoError(t, whole.Remove(t.Context(), i.UUID))
			break
		}
		if n%2 == 0 {
			require.NoError(t, whole.Set(t.Context(), i), "%d", n)
		}
		require.NoError(t, whole.Remove(t.Context(), i.UUID), "%d", n)
		require.Empty(t, leftovers(t, space), "%d", n)
	}
}

// TestUnmarkedLeftovers: what a Set left that was killed between making a thing
// and marking it.
func TestUnmarkedLeftovers(t *testing.T) {
	space, m := newHost(t)
	i := islandtest.Sample()
	router := filepath.Join("/run/netns", island.RouterName(i.UUID))
	for range 2 {
		space.IP(t, "link add "+island.BridgeName(i.UUID, 0)+" group 87 type bridge")
		require.NoError(t, os.WriteFile(router, nil, 0o444), "a namespace that was not mounted yet")
		require.NoError(t, m.Set(t.Context(), i))
		require.NoError(t, m.Remove(t.Context(), i.UUID))
		assert.Empty(t, leftovers(t, space))
		assert.NoFileExists(t, router)
	}
	space.IP(t, "link add "+island.BridgeName(i.UUID, 0)+" group 87 type bridge")
	require.NoError(t, m.Remove(t.Context(), i.UUID))
	assert.Empty(t, leftovers(t, space))
}

func leftovers(t *testing.T, s nstest.Space) string {
	return s.Run(t, "", "ip", "-o", "link", "show", "group", "87") + s.Run(t, "", "nft", "list", "ruleset")
}
