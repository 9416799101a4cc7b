package host_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

var move = uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000001")

func record(s owner.State, epoch uint64, peer string) owner.Record {
	r := owner.Record{UUID: id, State: s, Epoch: epoch, Peer: peer, Move: move}
	if peer == "" {
		r.Move = uuid.Nil
	}
	return r
}

// hold takes the guest and gives it back when the test ends.
func hold(t *testing.T, w *world) *host.Hold {
	t.Helper()
	l, err := w.Hold(id)
	require.NoError(t, err)
	t.Cleanup(l.Release)
	return l
}

// handAway brings a provisioned guest to Fenced at its host.
func handAway(t *testing.T, w *world) {
	t.Helper()
	ctx := t.Context()
	_, err := w.Provision(ctx, web1(t), nil)
	require.NoError(t, err)
	l, err := w.Hold(id)
	require.NoError(t, err)
	defer l.Release()
	require.NoError(t, l.SetRecord(record(owner.Prepared, 1, "islay")))
	_, err = l.Snapshot(ctx)
	require.NoError(t, err)
	require.ErrorContains(t, l.Fence(ctx, 2), "its domain 1 is running")
	_, err = l.Stop(ctx)
	require.NoError(t, err)
	require.NoError(t, l.Fence(ctx, 2))
	require.NoError(t, l.Fence(ctx, 2), "again")
	require.NoError(t, l.SetRecord(record(owner.Fenced, 2, "islay")))
}

func TestFencedNeverStarts(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	handAway(t, w)
	vol := web1(t).Disks[0].Volume
	v, err := w.volumes.Volume(ctx, vol)
	require.NoError(t, err)
	assert.False(t, v.Active)
	assert.True(t, v.Skip)
	assert.Equal(t, []string{"xenhost.epoch=2", "xenhost.guest=" + id.String(), "xenhost.state=fenced"}, v.Tags)
	all, err := w.volumes.Volumes(ctx, "guests")
	require.NoError(t, err)
	assert.Len(t, all, 1, "the snapshot is gone")

	require.ErrorIs(t, w.Start(ctx, id), host.ErrNotOwner)
	require.ErrorContains(t, w.Start(ctx, id), "handed to islay (epoch 2)")
	_, err = w.Stop(ctx, id)
	require.ErrorIs(t, err, host.ErrNotOwner)
	require.ErrorIs(t, w.Terminate(ctx, id), host.ErrNotOwner)

	// Power is lost; a boot script activates what it may; an admin creates the
	// domain by hand: its disk is not there.
	w.domains.PowerOff()
	w.domains.PowerOn()
	require.NoError(t, w.volumes.Boot())
	_, err = w.domains.Create(ctx, web1(t).Spec(map[lvm.ID]string{vol: v.Path}), nil)
	require.Error(t, err)
	// Somebody forces the volume active: the next boot fences it again.
	require.NoError(t, w.volumes.Activate(ctx, vol))
	report, err := w.Boot(ctx)
	require.NoError(t, err)
	assert.Equal(t, host.BootReport{Fenced: []uuid.UUID{id}}, report)
	v, err = w.volumes.Volume(ctx, vol)
	require.NoError(t, err)
	assert.False(t, v.Active)

	// Put aside, and what is left can be terminated.
	l := hold(t, w)
	require.NoError(t, l.PutAside(ctx))
	require.NoError(t, l.PutAside(ctx), "again")
	require.NoError(t, l.SetRecord(record(owner.Released, 2, "islay")))
	l.Release()
	_, _, ok := w.network.Lookup(network.TCP, 8080)
	assert.False(t, ok)
	s, err := w.Guest(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, "web1", s.Guest.Name)
	require.NoError(t, w.Terminate(ctx, id))
	_, err = w.volumes.Volume(ctx, vol)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestFenceRefusesAnOpenVolume(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.Provision(ctx, web1(t), &host.ProvisionOptions{Stopped: true})
	require.NoError(t, err)
	require.NoError(t, w.volumes.Hold(web1(t).Disks[0].Volume))
	require.ErrorIs(t, hold(t, w).Fence(ctx, 2), lvm.ErrBusy)
}

func TestFenceLifted(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	handAway(t, w)
	l := hold(t, w)
	require.NoError(t, l.SetRecord(record(owner.Running, 3, "")))
	_, err := l.Start(ctx)
	require.ErrorIs(t, err, host.ErrNotOwner, "the volumes are still fenced")
	require.NoError(t, l.Unfence(ctx))
	require.NoError(t, l.Unfence(ctx), "again")
	_, err = l.Start(ctx)
	require.NoError(t, err)
}

func TestReceiveAndAdopt(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	l := hold(t, w)
	g := web1(t)
	fresh, err := l.Receive(ctx, g, 2)
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"xvda": true}, fresh)
	require.NoError(t, l.SetRecord(record(owner.Receiving, 2, "curacao")))
	v, err := w.volumes.Volume(ctx, g.Disks[0].Volume)
	require.NoError(t, err)
	assert.Equal(t, []string{"xenhost.epoch=2", "xenhost.guest=" + id.String(), "xenhost.state=receiving"}, v.Tags)
	assert.True(t, v.Skip && v.Active)
	_, err = l.Start(ctx)
	require.ErrorIs(t, err, host.ErrNotOwner)

	// A second attempt uses what the first one left.
	fresh, err = l.Receive(ctx, g, 2)
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"xvda": false}, fresh)

	require.NoError(t, l.SetRecord(record(owner.Ready, 2, "curacao")))
	require.NoError(t, l.SetRecord(record(owner.Committed, 2, "curacao")))
	require.NoError(t, l.Adopt(ctx))
	require.NoError(t, l.Adopt(ctx), "again")
	require.NoError(t, l.SetRecord(record(owner.Running, 2, "")))
	_, err = l.Start(ctx)
	require.NoError(t, err)
	s, err := w.Guest(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, g, s.Guest)
	assert.Equal(t, []string{"xenhost.guest=" + id.String()}, s.Volumes[0].Tags)
	assert.False(t, s.Volumes[0].Skip)
	_, _, ok := w.network.Lookup(network.TCP, 8080)
	assert.True(t, ok)
	require.Error(t, l.Discard(ctx), "what this host owns is never discarded")
}

func TestDiscard(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	before := w.volumes.String()
	l := hold(t, w)
	_, err := l.Receive(ctx, web1(t), 2)
	require.NoError(t, err)
	require.NoError(t, l.SetRecord(record(owner.Receiving, 2, "curacao")))
	require.NoError(t, l.Discard(ctx))
	require.NoError(t, l.Discard(ctx), "again")
	assert.Equal(t, before, w.volumes.String())
}

func TestDiscardKeepsAnOldCopyFenced(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	handAway(t, w)
	l := hold(t, w)
	require.NoError(t, l.PutAside(ctx))
	g := web1(t)
	fresh, err := l.Receive(ctx, g, 3)
	require.NoError(t, err)
	assert.Equal(t, map[string]bool{"xvda": false}, fresh)
	require.NoError(t, l.SetRecord(record(owner.Receiving, 3, "islay")))
	require.NoError(t, l.Discard(ctx))
	v, err := w.volumes.Volume(ctx, g.Disks[0].Volume)
	require.NoError(t, err)
	assert.True(t, v.Skip && !v.Active)
	assert.Contains(t, v.Tags, "xenhost.state=fenced")
}

func TestReceiveRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(t *testing.T, w *world, g *host.Guest)
		want    error
	}{
		"a guest that this host owns": {func(t *testing.T, w *world, g *host.Guest) {
			_, err := w.Provision(t.Context(), web1(t), &host.ProvisionOptions{Stopped: true})
			require.NoError(t, err)
		}, fs.ErrExist},
		"a name that another guest has": {func(t *testing.T, w *world, g *host.Guest) {
			other := web1(t)
			other.UUID, other.Disks[0].Volume.Name, other.Forwards, other.Nics = uuid.New(), "other", nil, nil
			_, err := w.Provision(t.Context(), other, &host.ProvisionOptions{Stopped: true})
			require.NoError(t, err)
		}, fs.ErrExist},
		"a domain of that name": {func(t *testing.T, w *world, g *host.Guest) {
			_, err := w.domains.Create(t.Context(), xen.Spec{UUID: uuid.New(), Name: g.Name, Type: xen.PVH, Memory: 64 << 20, VCPUs: 1, Kernel: "/k"}, nil)
			require.NoError(t, err)
		}, fs.ErrExist},
		"a volume of somebody else": {func(t *testing.T, w *world, g *host.Guest) {
			_, err := w.volumes.Create(t.Context(), lvm.Spec{ID: g.Disks[0].Volume, Size: g.Disks[0].Size})
			require.NoError(t, err)
		}, host.ErrForeign},
		"too little memory":       {func(_ *testing.T, _ *world, g *host.Guest) { g.Memory = 512 << 30 }, xen.ErrNoMemory},
		"too little space":        {func(_ *testing.T, _ *world, g *host.Guest) { g.Disks[0].Size = 2 << 30 }, lvm.ErrNoSpace},
		"a group that is not":     {func(_ *testing.T, _ *world, g *host.Guest) { g.Disks[0].Volume.Group = "nope" }, fs.ErrNotExist},
		"an uneven size":          {func(_ *testing.T, _ *world, g *host.Guest) { g.Disks[0].Size = 5000 }, host.ErrInvalid},
		"another guest's record":  {func(_ *testing.T, _ *world, g *host.Guest) { g.UUID = uuid.New() }, host.ErrInvalid},
		"a name that is a path":   {func(_ *testing.T, _ *world, g *host.Guest) { g.Name = "../x" }, xen.ErrInvalid},
		"a volume that is a path": {func(_ *testing.T, _ *world, g *host.Guest) { g.Disks[0].Volume.Name = "../x" }, lvm.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			w, g := newWorld(t), web1(t)
			c.arrange(t, w, &g)
			l := hold(t, w)
			_, err := l.Receive(t.Context(), g, 2)
			require.ErrorIs(t, err, c.want)
			_, err = os.Stat(filepath.Join(w.state, "guests", "x.json"))
			require.ErrorIs(t, err, fs.ErrNotExist)
		})
	}
}

// An agent that is started in the middle of a move tells of it and starts
// nothing of it.
func TestBootInTheMiddleOfAMove(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	l := hold(t, w)
	_, err := l.Receive(ctx, web1(t), 2)
	require.NoError(t, err)
	require.NoError(t, l.SetRecord(record(owner.Receiving, 2, "curacao")))
	l.Release()
	require.NoError(t, w.volumes.Boot())
	report, err := w.Boot(ctx)
	require.NoError(t, err)
	assert.Equal(t, host.BootReport{Unfinished: []uuid.UUID{id}}, report)
	list, err := w.domains.List(ctx)
	require.NoError(t, err)
	assert.Empty(t, list)
}

func TestBootStartsWhatShouldRun(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.Provision(ctx, web1(t), nil)
	require.NoError(t, err)
	w.domains.PowerOff()
	w.domains.PowerOn()
	require.NoError(t, w.volumes.Boot())
	require.NoError(t, w.network.Remove(ctx, id)) // a power failure forgets the rules
	report, err := w.Boot(ctx)
	require.NoError(t, err)
	assert.Equal(t, host.BootReport{Started: []uuid.UUID{id}}, report)
	_, _, ok := w.network.Lookup(network.TCP, 8080)
	assert.True(t, ok)
	report, err = w.Boot(ctx)
	require.NoError(t, err)
	assert.Equal(t, host.BootReport{Running: []uuid.UUID{id}}, report)
}
