package clone_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/migrate/clone"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/network/guard/guardtest"
	"github.com/xenhost/xenhost/network/island/islandtest"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/xentest"
)

const (
	diskSize = 256 << 10
	before   = "what the guest had"
	after    = "what the guest wrote since"
	tried    = "what the clone wrote"
)

// world is a host on fakes, with a guest of two disks.
type world struct {
	*host.Host
	domains *xentest.Fake
	volumes *lvmtest.Fake
	network *networktest.Fake
	guard   *guardtest.Fake
	islands *islandtest.Fake
	state   string
	web1    host.Guest
}

// newWorld has a group with this room and, if thin, a pool for the disks.
func newWorld(t *testing.T, size int64, thin bool) *world {
	t.Helper()
	w := &world{
		domains: xentest.New(nil),
		volumes: lvmtest.New(memory(t), lvmtest.GroupSpec{Name: "guests", Size: size, Extent: 64 << 10}),
		network: networktest.New(nil), guard: guardtest.New(guard.Dom0{}), islands: islandtest.New(),
		state: memory(t),
	}
	w.Host = w.open(nil)
	web1 := host.Guest{
		UUID: uuid.MustParse("7f3a0c1e-0000-4000-8000-000000000001"), Name: "web1", Memory: 128 << 20, Kernel: "/lab/vmlinuz",
		Nics: []host.Nic{{Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 1}, Addresses: []netip.Addr{netip.MustParseAddr("192.168.0.10")}}},
		Forwards: []network.Forward{
			{Proto: network.TCP, Port: 8080, To: netip.MustParseAddrPort("192.168.0.10:80")},
		},
	}
	pool := ""
	if thin {
		pool = "pool"
		_, err := w.volumes.CreatePool(t.Context(), lvm.PoolSpec{ID: lvm.ID{Group: "guests", Name: pool}, Size: 4 << 20})
		require.NoError(t, err)
	}
	for _, dev := range []string{"xvda", "xvdb"} {
		web1.Disks = append(web1.Disks, host.Disk{Dev: dev, Volume: lvm.ID{Group: "guests", Name: "web1-" + dev}, Size: diskSize, Pool: pool})
	}
	_, err := w.network.Apply(t.Context(), network.State{
		Bridges: []network.Bridge{{Name: "xenint", Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.1/16")}}},
	})
	require.NoError(t, err)
	w.web1, err = w.Provision(t.Context(), web1, nil)
	require.NoError(t, err)
	w.write(t, w.web1.Disks, before)
	return w
}

// memory is a folder in memory where there is one: a kill is a panic here, so
// nothing hangs on a disk, and the tests sync some ten thousand files.
func memory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "clone-") //nolint:usetesting // that is on a disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// open composes the host; p is pulled while it works.
func (w *world) open(p *plug) *host.Host {
	c := host.Config{
		Name: "curacao", Domains: w.domains, Volumes: w.volumes, Network: w.network, Guard: w.guard, Islands: w.islands, StateDir: w.state,
	}
	if p != nil {
		c.Domains, c.Volumes = domains{w.domains, p}, volumes{w.volumes, p}
		c.Network, c.Guard, c.Islands = wires{w.network, p}, guards{w.guard, p}, islands{w.islands, p}
	}
	return host.New(c)
}

func (w *world) write(t *testing.T, disks []host.Disk, text string) {
	t.Helper()
	for _, d := range disks {
		dev, err := w.volumes.Open(t.Context(), d.Volume)
		require.NoError(t, err)
		_, err = dev.WriteAt([]byte(fmt.Sprintf("%-40s", text+" "+d.Dev)), 4096)
		require.NoError(t, err)
		require.NoError(t, dev.Close())
	}
}

// holds looks what stands on volumes.
func (w *world) holds(t *testing.T, text string, disks ...lvm.ID) {
	t.Helper()
	for i, id := range disks {
		dev, err := w.volumes.Open(t.Context(), id)
		require.NoError(t, err)
		got := make([]byte, 40)
		_, err = dev.ReadAt(got, 4096)
		require.NoError(t, err)
		require.NoError(t, dev.Close())
		require.Equal(t, fmt.Sprintf("%-40s", text+" "+[]string{"xvda", "xvdb"}[i]), string(got), "%s", id)
	}
}

func (w *world) make(t *testing.T, opts *clone.Options) clone.Clone {
	t.Helper()
	c, err := clone.Make(t.Context(), w.Host, w.web1.UUID, opts)
	require.NoError(t, err)
	return c
}

func (w *world) disks() []lvm.ID {
	return []lvm.ID{w.web1.Disks[0].Volume, w.web1.Disks[1].Volume}
}

func (w *world) rollbacks() []lvm.ID {
	return []lvm.ID{{Group: "guests", Name: "web1-xvda-rollback"}, {Group: "guests", Name: "web1-xvdb-rollback"}}
}

// fabric is all that clones could leave on the host.
func (w *world) fabric(t *testing.T) string {
	t.Helper()
	ctx := t.Context()
	all, err := w.volumes.Volumes(ctx, "guests")
	require.NoError(t, err)
	text := ""
	for _, v := range all {
		text += fmt.Sprintf("%s %s %v\n", v.Name, v.Origin, v.Tags)
	}
	list, err := w.domains.List(ctx)
	require.NoError(t, err)
	for _, d := range list {
		text += d.Name + " " + string(d.State) + "\n"
	}
	files, err := filepath.Glob(filepath.Join(w.state, "guests", "*.json"))
	require.NoError(t, err)
	for _, f := range files {
		text += filepath.Base(f) + "\n"
	}
	net, err := w.network.Read(ctx)
	require.NoError(t, err)
	guarded, err := w.guard.Read(ctx)
	require.NoError(t, err)
	ids, err := w.islands.List(ctx)
	require.NoError(t, err)
	return text + fmt.Sprintf("%d guests, %d guarded, islands %v", len(net.Guests), len(guarded.Guests), ids)
}

// whole: the guest runs from its own disks, with no mark of a promotion on them.
func (w *world) whole(t *testing.T) {
	t.Helper()
	s, err := w.Guest(t.Context(), w.web1.UUID)
	require.NoError(t, err)
	require.NotNil(t, s.Domain, "web1 runs")
	require.Equal(t, xen.Running, s.Domain.State)
	for _, v := range s.Volumes {
		assert.Equal(t, []string{w.web1.Tag()}, v.Tags, v.Name)
	}
	_, err = os.Stat(filepath.Join(w.state, "guests", w.web1.UUID.String()+".json"))
	require.NoError(t, err)
}

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func at(when time.Time) func() time.Time { return func() time.Time { return when } }
