package migrate_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/migratetest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// newSharedWorld has a guest whose only disk both hosts see.
func newSharedWorld(t *testing.T, typ xen.Type) world {
	t.Helper()
	w, err := migratetest.NewWorld(t.TempDir(), nil)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	d, err := w.Share("xvda", "lun1", 2<<20)
	require.NoError(t, err)
	def := w.Guest("web1", 1<<20)
	def.Type, def.Disks, def.Shared = typ, nil, []host.SharedDisk{d}
	g, err := w.Provision(t.Context(), "curacao", def)
	require.NoError(t, err)
	return world{World: w, t: t, guest: g, mode: migrate.Live, from: "curacao", to: "islay"}
}

// TestSharedMove: on shared storage only memory moves, there and back, near and
// far, in each mode, and no byte of the disk.
func TestSharedMove(t *testing.T) {
	for _, mode := range []migrate.Mode{migrate.Live, migrate.Cold, migrate.TwoPass} {
		for _, typ := range []xen.Type{xen.PVH, xen.PV} {
			for _, mover := range []string{"curacao", "islay"} {
				t.Run(fmt.Sprintf("%s of %s by %s", mode, typ, mover), func(t *testing.T) {
					t.Parallel()
					w := newSharedWorld(t, typ)
					w.mode = mode
					report, err := w.move(t.Context(), mover, &migrate.Options{VerifyFull: true})
					require.NoError(t, err)
					assert.Empty(t, report.Passes)
					assert.Zero(t, report.Rounds)
					assert.False(t, report.Lost)
					if mode == migrate.Live {
						assert.Positive(t, report.Memory.Bytes)
					}
					require.Equal(t, "islay", w.lives("moved"))
					require.ErrorIs(t, w.Host("curacao").Start(t.Context(), w.guest.UUID), host.ErrNotOwner, "the record is the fence")
					w.from, w.to = "islay", "curacao"
					_, err = w.move(t.Context(), mover, nil)
					require.NoError(t, err)
					require.Equal(t, "curacao", w.lives("and back"))
				})
			}
		}
	}
}

// TestSharedPlan: the dry run says that nothing is copied.
func TestSharedPlan(t *testing.T) {
	w := newSharedWorld(t, xen.PVH)
	plan, err := migrate.PlanMove(t.Context(), w.Host("curacao"), w.Host("islay"), w.guest.UUID, migrate.Live, nil)
	require.NoError(t, err)
	text := plan.String()
	assert.Contains(t, text, "  both       see xvda as "+w.guest.Shared[0].Path+", 2 MiB: nothing of it is copied\n")
	assert.Contains(t, text, "  both       read blocks of xvda, which must be the same\n  ==== cut-over")
	assert.NotContains(t, text, "snapshot")
	assert.NotContains(t, text, "copy what")
}

// TestSharedBesideVolumes: a guest may have both; the volume is copied.
func TestSharedBesideVolumes(t *testing.T) {
	w := newWorld(t, nil)
	d, err := w.Share("xvdb", "lun1", 4<<20)
	require.NoError(t, err)
	g := w.Guest("web2", 1<<20)
	g.Shared = []host.SharedDisk{d}
	w.guest, err = w.Provision(t.Context(), "curacao", g)
	require.NoError(t, err)
	w.mode = migrate.Live
	report, err := w.move(t.Context(), "islay", &migrate.Options{VerifyFull: true})
	require.NoError(t, err)
	assert.Len(t, report.Sums, 1)
	for _, p := range report.Passes {
		assert.Equal(t, "xvda", p.Dev)
	}
	require.Equal(t, "islay", w.lives("moved"))
}

// TestCrashShared kills the mover of a live move of shared storage before each
// step from the one that sends its memory, with each reboot, and resumes from
// either host: two copies that run are two that write to one disk.
func TestCrashShared(t *testing.T) {
	w, s := newSharedWorld(t, xen.PVH), &steps{n: -1}
	_, err := w.move(t.Context(), "curacao", s.options())
	require.NoError(t, err)
	all := s.seen
	giveUp, commit := slices.Index(names(all), handover.GiveUp), slices.Index(names(all), handover.Commit)
	var count atomic.Int64
	t.Run("schedules", func(t *testing.T) {
		for kill := slices.Index(names(all), handover.Migrate); kill <= len(all); kill++ {
			t.Run(fmt.Sprint("kill ", kill), func(t *testing.T) {
				t.Parallel()
				for _, reboot := range []string{"", "curacao", "islay"} {
					mover := []string{"curacao", "islay"}[(kill+len(reboot))%2]
					w, at := newSharedWorld(t, xen.PVH), &steps{n: kill}
					died := migratetest.Kill(func() { _, _ = w.move(t.Context(), mover, at.options()) })
					require.Equal(t, kill < len(all), died)
					w.Cut()
					require.NoError(t, w.Check(t.Context()), "after the kill")
					w.Mend()
					if reboot != "" {
						w.PowerOff(reboot)
						_, _ = w.PowerOn(t.Context(), reboot)
						require.NoError(t, w.Check(t.Context()), "after the boot of %s", reboot)
					}
					first, err := w.resume([]string{"curacao", "islay"}[kill%2], nil)
					require.NoError(t, err, first.Why)
					on := w.lives("after Resume: " + first.Why)
					if kill <= giveUp || kill > commit {
						require.Equal(t, kill > commit, on == "islay", first.Why)
					}
					if on == "curacao" {
						_, err := w.move(t.Context(), mover, nil)
						require.NoError(t, err, "the second try")
						require.Equal(t, "islay", w.lives("after the second try"))
					}
					w.Close()
					count.Add(1)
				}
			})
		}
	})
	t.Logf("%d steps, %d schedules", len(all), count.Load())
}

// TestSharedRefused: what is not one and the same disk for guests on both hosts
// is refused in the plan, and when a peer offers it.
func TestSharedRefused(t *testing.T) {
	w, ctx := newSharedWorld(t, xen.PVH), t.Context()
	foreign := filepath.Join(t.TempDir(), "sda")
	require.NoError(t, os.WriteFile(foreign, make([]byte, 1<<20), 0o600))
	d := w.guest.Shared[0]
	for name, c := range map[string]struct {
		disk host.SharedDisk
		is   error
	}{
		"not for guests":  {host.SharedDisk{Dev: "xvda", Path: foreign, Size: 1 << 20}, host.ErrForeign},
		"another guest's": {d, host.ErrForeign},
		"a way out":       {host.SharedDisk{Dev: "xvda", Path: filepath.Dir(d.Path) + "/../elsewhere/lun1", Size: 2 << 20}, host.ErrInvalid},
		"relative":        {host.SharedDisk{Dev: "xvda", Path: "lun1", Size: 2 << 20}, host.ErrInvalid},
		"another size":    {host.SharedDisk{Dev: "xvda", Path: d.Path, Size: 1 << 20}, host.ErrInvalid},
		"no size":         {host.SharedDisk{Dev: "xvda", Path: d.Path}, host.ErrInvalid},
		"not there":       {host.SharedDisk{Dev: "xvda", Path: d.Path + "9", Size: 1 << 20}, os.ErrNotExist},
	} {
		g := w.Guest("other-"+strings.ToLower(strings.NewReplacer(" ", "-", "'", "").Replace(name)), 1<<20)
		g.Disks, g.Shared = nil, []host.SharedDisk{c.disk}
		_, err := w.Host("curacao").Provision(ctx, g, nil)
		require.ErrorIs(t, err, c.is, name)
		l, err := w.Host("islay").Hold(g.UUID)
		require.NoError(t, err)
		require.NoError(t, l.SetRecord(owner.Record{UUID: g.UUID, State: owner.Receiving, Epoch: 2, Peer: "curacao", Move: g.UUID}))
		_, err = l.Receive(ctx, g, 2)
		l.Release()
		if name != "another guest's" { // islay has none yet
			require.ErrorIs(t, err, c.is, name)
		}
	}
	require.NoError(t, os.Truncate(d.Path, 3<<20))
	_, err := w.move(ctx, "curacao", nil)
	require.ErrorIs(t, err, migrate.ErrRefused)
	require.ErrorContains(t, err, "has 3145728 bytes here, not 2097152")
}

// onRead calls f whenever something has arrived.
type onRead struct {
	net.Conn
	f func()
}

func (c onRead) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.f()
	return n, err
}

// TestSharedIsAnotherDisk: where the hosts read something else behind the path,
// the guest stays where it is, whatever was moved of it.
func TestSharedIsAnotherDisk(t *testing.T) {
	for _, mode := range []migrate.Mode{migrate.Live, migrate.Cold} {
		w := newSharedWorld(t, xen.PVH)
		disk, err := os.OpenFile(w.guest.Shared[0].Path, os.O_RDWR, 0)
		require.NoError(t, err)
		defer disk.Close()
		var differs atomic.Bool
		var n atomic.Uint64
		conn, err := w.Connect("curacao", "islay")
		require.NoError(t, err)
		// What islay has read is older than what curacao reads after its answer.
		remote, err := migrate.Dial(t.Context(), onRead{conn, func() {
			if differs.Load() {
				_, _ = disk.WriteAt(binary.BigEndian.AppendUint64(nil, n.Add(1)), 0)
			}
		}}, &migrate.DialOptions{Name: "curacao"})
		require.NoError(t, err)
		plan, err := migrate.PlanMove(t.Context(), w.Host("curacao"), remote, w.guest.UUID, mode, &migrate.Options{OnStep: func(s handover.Step) error {
			differs.Store(s.Name == handover.Verify)
			return nil
		}})
		require.NoError(t, err)
		report, err := plan.Run(t.Context())
		require.ErrorIs(t, err, migrate.ErrDiffers)
		assert.Equal(t, handover.Back, report.Way)
		require.Equal(t, "curacao", w.lives("stayed"))
	}
}

// TestSharedNeedsAFolder: a host that names none takes no shared disk.
func TestSharedNeedsAFolder(t *testing.T) {
	w := newSharedWorld(t, xen.PVH)
	m := w.Machine("islay")
	bare := host.New(host.Config{Name: "islay", Domains: m.Domains, Volumes: m.Volumes, Network: m.Network, StateDir: t.TempDir()})
	_, err := migrate.PlanMove(t.Context(), w.Host("curacao"), bare, w.guest.UUID, migrate.Live, nil)
	require.ErrorIs(t, err, migrate.ErrRefused)
	require.ErrorContains(t, err, "is in no folder of shared disks of this host")
	g := w.Guest("web3", 1<<20)
	_, err = bare.Provision(t.Context(), g, &host.ProvisionOptions{Stopped: true})
	require.NoError(t, err, "others it does")
	_, err = m.Volumes.Volume(t.Context(), lvm.ID{Group: "guests", Name: "web3-disk"})
	require.NoError(t, err)
}
