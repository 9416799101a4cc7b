package host_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/network/guard/guardtest"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/shaping/shapingtest"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/xentest"
)

// One guest whose definition can not be in force any more does not keep the
// others from starting.
func TestBootWithoutTheBad(t *testing.T) {
	dom0 := netip.MustParseAddr("192.168.0.1")
	for name, tc := range map[string]struct {
		spoil func(*host.Guest)
		means error
	}{
		"the address of another":   {func(g *host.Guest) { g.Nics[0].Addresses[0] = netip.MustParseAddr("192.168.0.10") }, network.ErrConflict},
		"the MAC of another":       {func(g *host.Guest) { g.Nics[0].MAC[5] = 10 }, network.ErrConflict},
		"dom0's address":           {func(g *host.Guest) { g.Nics[0].Addresses[0] = dom0 }, network.ErrConflict},
		"more than the uplink has": {func(g *host.Guest) { g.Rates.Upload = 899 * shaping.Mbit }, shaping.ErrOvercommitted},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			w := &world{
				domains: xentest.New(nil), volumes: lvmtest.New(t.TempDir(), lvmtest.GroupSpec{Name: "guests"}),
				network: networktest.New(nil), state: t.TempDir(),
			}
			ports, rates := guardtest.New(guard.Dom0{Addresses: map[netip.Addr]string{dom0: "dom0"}}), shapingtest.New(nil)
			w.Host = host.New(host.Config{
				Name: "curacao", Domains: w.domains, Volumes: w.volumes, Network: w.network, Guard: ports, Shaping: rates, Uplink: line, StateDir: w.state,
			})
			_, err := w.Boot(ctx)
			require.NoError(t, err)
			var ids []uuid.UUID
			for n := byte(0); n < 4; n++ {
				g := web1(t)
				g.UUID, g.Name, g.Forwards, g.Order = uuid.New(), fmt.Sprintf("web%d", n), nil, int(n)
				g.Disks[0].Volume = lvm.ID{Group: "guests", Name: g.Name}
				g.Nics[0].MAC[5], g.Nics[0].Addresses[0] = 10+n, netip.AddrFrom4([4]byte{192, 168, 0, 10 + n})
				g.Rates = shaping.Policy{Upload: 10 * shaping.Mbit}
				_, err := w.Provision(ctx, g, nil)
				require.NoError(t, err)
				ids = append(ids, g.UUID)
			}
			w.domains.PowerOff()
			rewrite(t, w, ids[1], tc.spoil)
			w.domains.PowerOn()
			ports.Flush()
			report, err := w.Boot(ctx)
			require.ErrorIs(t, err, tc.means)
			var failed *host.Error
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, "boot", failed.Op)
			assert.Equal(t, "web1", failed.Name)
			assert.Equal(t, 1, strings.Count(err.Error(), "boot "), "the bad one alone: %v", err)
			assert.Equal(t, []uuid.UUID{ids[0], ids[2], ids[3]}, report.Started)
			have, err := ports.Read(ctx)
			require.NoError(t, err)
			assert.Len(t, have.Guests, 3)
			shares, err := rates.Read(ctx)
			require.NoError(t, err)
			assert.Len(t, shares.Guests, 3)
		})
	}
}

// rewrite changes a definition behind the host's back.
func rewrite(t *testing.T, w *world, id uuid.UUID, change func(*host.Guest)) {
	t.Helper()
	path := filepath.Join(w.state, "guests", id.String()+".json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var kept struct {
		Format int        `json:"format"`
		Guest  host.Guest `json:"guest"`
	}
	require.NoError(t, json.Unmarshal(text, &kept))
	change(&kept.Guest)
	text, err = json.Marshal(kept)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
}
