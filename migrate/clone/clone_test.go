package clone_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/clone"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/island"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

var fsErrExist, fsErrNotExist = fs.ErrExist, fs.ErrNotExist

func TestMakeAndDiscard(t *testing.T) {
	thinAndThick(t, func(t *testing.T, thin bool) {
		w := newWorld(t, 0, thin)
		clean := w.fabric(t)
		c := w.make(t, &clone.Options{Name: "trial", Out: "xenext", Lifetime: time.Hour, Now: at(noon)})
		assert.Equal(t, clone.Running, c.State)
		assert.Equal(t, noon.Add(time.Hour), c.Expires)
		w.holds(t, before, c.Disks...)

		spec, err := w.domains.Spec(c.UUID)
		require.NoError(t, err)
		require.Len(t, spec.Vifs, 1)
		assert.NotEqual(t, w.web1.Nics[0].MAC, spec.Vifs[0].MAC)
		assert.Equal(t, island.BridgeName(c.UUID, 0), spec.Vifs[0].Bridge)
		i, ok := w.islands.Island(c.UUID)
		require.True(t, ok)
		assert.Equal(t, island.Island{UUID: c.UUID, Out: "xenext", Links: []island.Link{{
			Gateways: []netip.Prefix{netip.MustParsePrefix("192.168.0.1/16")}, Addresses: w.web1.Nics[0].Addresses,
		}}}, i)
		net, err := w.network.Read(t.Context())
		require.NoError(t, err)
		part, _ := net.Guest(c.UUID)
		assert.Empty(t, part.Ports, "the host's network knows no address of it")

		s, err := w.Guest(t.Context(), c.UUID)
		require.NoError(t, err)
		w.write(t, s.Guest.Disks, tried)
		w.holds(t, before, w.disks()...)
		w.write(t, w.web1.Disks, after)
		w.holds(t, tried, c.Disks...)

		require.ErrorIs(t, w.Terminate(t.Context(), w.web1.UUID), host.ErrBusy, "its disks are the clone's too")
		moving, err := w.Hold(w.web1.UUID)
		require.NoError(t, err)
		_, err = moving.Snapshot(t.Context())
		require.ErrorIs(t, err, host.ErrBusy, "so it does not move")
		moving.Release()
		w.whole(t)
		_, err = w.Boot(t.Context())
		require.NoError(t, err, "a clone and its guest fit one host")
		require.NoError(t, clone.Discard(t.Context(), w.Host, c.UUID))
		require.NoError(t, clone.Discard(t.Context(), w.Host, c.UUID), "there is none")
		assert.Equal(t, clean, w.fabric(t))
		w.holds(t, after, w.disks()...)
	})
}

func TestRoutedGuest(t *testing.T) {
	w := newWorld(t, 0, false)
	g := host.Guest{
		Name: "shop", Memory: 64 << 20, Kernel: "/lab/vmlinuz",
		Disks: []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: "shop"}, Size: diskSize}},
		Nics:  []host.Nic{{Routed: true, Uplink: "xenext", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 7}, Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.10")}}},
	}
	g, err := w.Provision(t.Context(), g, nil)
	require.NoError(t, err)
	c, err := clone.Make(t.Context(), w.Host, g.UUID, &clone.Options{Out: "xenext"})
	require.NoError(t, err)
	i, _ := w.islands.Island(c.UUID)
	assert.Equal(t, netip.MustParsePrefix(network.RouterV4+"/32"), i.Links[0].Gateways[0])
	spec, err := w.domains.Spec(c.UUID)
	require.NoError(t, err)
	assert.False(t, spec.Vifs[0].Routed)
}

func TestRefused(t *testing.T) {
	w := newWorld(t, 0, false)
	clean := w.fabric(t)
	try := func(id uuid.UUID, o clone.Options) error {
		_, err := clone.Make(t.Context(), w.Host, id, &o)
		return err
	}
	require.ErrorIs(t, try(uuid.New(), clone.Options{}), fs.ErrNotExist)
	require.ErrorIs(t, try(w.web1.UUID, clone.Options{Name: "web1"}), fs.ErrExist, "the guest's name")
	require.Error(t, try(w.web1.UUID, clone.Options{Name: "Trial;"}))
	require.ErrorIs(t, try(w.web1.UUID, clone.Options{Out: "nowhere"}), fs.ErrNotExist)
	require.ErrorIs(t, try(w.web1.UUID, clone.Options{Out: `x"; drop`}), network.ErrInvalid)
	require.ErrorIs(t, try(w.web1.UUID, clone.Options{Change: func(g *host.Guest) { g.Memory = 1 << 40 }}), xen.ErrNoMemory)
	require.ErrorIs(t, try(w.web1.UUID, clone.Options{Change: func(g *host.Guest) { g.Forwards = w.web1.Forwards }}), host.ErrInvalid)
	assert.Equal(t, clean, w.fabric(t), "nothing is left of what was refused")

	l, err := w.Hold(w.web1.UUID)
	require.NoError(t, err)
	require.ErrorIs(t, try(w.web1.UUID, clone.Options{}), host.ErrBusy)
	l.Release()

	none := host.New(host.Config{Name: "curacao", Domains: w.domains, Volumes: w.volumes, Network: w.network, StateDir: w.state})
	_, err = clone.Make(t.Context(), none, w.web1.UUID, nil)
	require.ErrorIs(t, err, errors.ErrUnsupported, "a host without islands")
	assert.Equal(t, clean, w.fabric(t))

	c := w.make(t, nil)
	require.ErrorIs(t, try(c.UUID, clone.Options{}), host.ErrInvalid, "a clone of a clone")
	require.ErrorIs(t, try(w.web1.UUID, clone.Options{}), fs.ErrExist)
	require.ErrorIs(t, clone.Discard(t.Context(), w.Host, w.web1.UUID), clone.ErrNotClone)
	_, err = clone.Promote(t.Context(), w.Host, w.web1.UUID)
	require.ErrorIs(t, err, clone.ErrNotClone)
	w.whole(t)
}

// TestForeignVolumes: what has a name that a clone or a promotion would use, and
// is not ours, is neither used nor removed.
func TestForeignVolumes(t *testing.T) {
	w := newWorld(t, 0, false)
	theirs := lvm.ID{Group: "guests", Name: "web1-clone-xvdb"} // the second one
	_, err := w.volumes.Create(t.Context(), lvm.Spec{ID: theirs, Size: diskSize})
	require.NoError(t, err)
	clean := w.fabric(t)
	_, err = clone.Make(t.Context(), w.Host, w.web1.UUID, nil)
	require.ErrorIs(t, err, fs.ErrExist)
	require.Equal(t, clean, w.fabric(t))
	require.NoError(t, w.volumes.Remove(t.Context(), theirs))

	c := w.make(t, nil)
	_, err = w.volumes.Create(t.Context(), lvm.Spec{ID: w.rollbacks()[1], Size: diskSize})
	require.NoError(t, err)
	clean = w.fabric(t)
	_, err = clone.Promote(t.Context(), w.Host, c.UUID)
	require.ErrorIs(t, err, fs.ErrExist)
	require.Equal(t, clean, w.fabric(t), "not even stopped")
	require.ErrorIs(t, w.Rollback(t.Context(), w.web1.UUID), host.ErrForeign)
	require.NoError(t, w.ForgetRollback(t.Context(), w.web1.UUID))
	_, err = w.volumes.Volume(t.Context(), w.rollbacks()[1])
	require.NoError(t, err, "it is not ours")

	require.NoError(t, w.volumes.Tag(t.Context(), c.Disks[0], nil, []string{host.Guest{UUID: c.UUID}.Tag()}))
	require.NoError(t, w.volumes.Remove(t.Context(), w.rollbacks()[1]))
	_, err = clone.Promote(t.Context(), w.Host, c.UUID)
	require.ErrorIs(t, err, host.ErrForeign, "a volume of the clone that has lost its mark")
}

func TestNoRoom(t *testing.T) {
	t.Run("to clone", func(t *testing.T) {
		w := newWorld(t, 832<<10, false) // 512 KiB in use, 320 for one disk
		clean := w.fabric(t)
		_, err := clone.Make(t.Context(), w.Host, w.web1.UUID, nil)
		require.ErrorIs(t, err, lvm.ErrNoSpace)
		require.Equal(t, clean, w.fabric(t))
		w.whole(t)
		w.make(t, &clone.Options{Room: 64 << 10})
	})
	t.Run("to promote", func(t *testing.T) {
		w := newWorld(t, 1472<<10, false) // 512 KiB in use, 640 for the clone, 320 for one rollback volume
		c := w.make(t, nil)
		clean := w.fabric(t)
		_, err := clone.Promote(t.Context(), w.Host, c.UUID)
		require.ErrorIs(t, err, lvm.ErrNoSpace)
		require.Equal(t, clean, w.fabric(t), "not even stopped")
	})
}

func TestSweep(t *testing.T) {
	w := newWorld(t, 0, false)
	clean := w.fabric(t)
	short := w.make(t, &clone.Options{Name: "short", Lifetime: time.Hour, Now: at(noon)})
	long := w.make(t, &clone.Options{Name: "long", Lifetime: 3 * time.Hour, Now: at(noon)})
	r, err := clone.Sweep(t.Context(), w.Host, noon.Add(59*time.Minute))
	require.NoError(t, err)
	assert.Equal(t, clone.Report{}, r)
	r, err = clone.Sweep(t.Context(), w.Host, noon.Add(time.Hour))
	require.NoError(t, err)
	require.Len(t, r.Expired, 1)
	assert.Equal(t, short.UUID, r.Expired[0].UUID)

	held, err := w.Hold(long.UUID)
	require.NoError(t, err)
	r, err = clone.Sweep(t.Context(), w.Host, noon.Add(24*time.Hour))
	require.NoError(t, err, "another process has it")
	assert.Empty(t, r.Expired)
	held.Release()
	lost := uuid.New()
	require.NoError(t, w.islands.Set(t.Context(), island.Island{UUID: lost, Links: make([]island.Link, 1)}))
	r, err = clone.Sweep(t.Context(), w.Host, noon.Add(24*time.Hour))
	require.NoError(t, err)
	assert.Len(t, r.Expired, 1)
	assert.Equal(t, []uuid.UUID{lost}, r.Islands)
	assert.Equal(t, clean, w.fabric(t))
}

// TestFull: a clone with little room is discarded by the guard before it is
// full, and by a sweep after.
func TestFull(t *testing.T) {
	fill := func(w *world, with byte, share int) {
		dev, err := w.volumes.Open(t.Context(), w.disks()[0])
		require.NoError(t, err)
		_, err = dev.WriteAt(bytes.Repeat([]byte{with}, share), 0)
		require.NoError(t, err)
		require.NoError(t, dev.Close())
	}
	w := newWorld(t, 0, false)
	clean := w.fabric(t)
	c := w.make(t, &clone.Options{Room: 128 << 10, Now: at(noon)})
	fill(w, 7, 80<<10)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := clone.Guard(ctx, w.Host, c.UUID, &lvm.GuardOptions{Every: time.Millisecond, Limit: 0.5})
	require.ErrorIs(t, err, lvm.ErrAborted)
	require.Equal(t, clean, w.fabric(t))
	w.whole(t)

	c = w.make(t, &clone.Options{Room: 128 << 10, Now: at(noon)})
	fill(w, 8, 192<<10)
	_, err = clone.Promote(t.Context(), w.Host, c.UUID)
	require.ErrorIs(t, err, lvm.ErrSnapshotInvalid)
	w.whole(t)
	r, err := clone.Sweep(t.Context(), w.Host, noon)
	require.NoError(t, err)
	require.Len(t, r.Full, 1)
	require.Equal(t, clean, w.fabric(t))
}

// TestFencedOrigin: a clone does not start from an origin that is
// somebody else's now.
func TestFencedOrigin(t *testing.T) {
	w := newWorld(t, 0, false)
	c := w.make(t, nil)
	_, err := w.Stop(t.Context(), c.UUID)
	require.NoError(t, err)
	_, err = w.Stop(t.Context(), w.web1.UUID)
	require.NoError(t, err)
	for _, id := range w.disks() {
		require.NoError(t, w.volumes.Tag(t.Context(), id, []string{"xenhost.state=fenced"}, nil))
		require.NoError(t, w.volumes.Deactivate(t.Context(), id))
	}
	require.ErrorIs(t, w.Start(t.Context(), c.UUID), host.ErrNotOwner)
	for _, id := range w.disks() {
		require.NoError(t, w.volumes.Tag(t.Context(), id, nil, []string{"xenhost.state=fenced"}))
	}
	require.NoError(t, w.Start(t.Context(), c.UUID), "the origins were only off, as after a reboot")
}
