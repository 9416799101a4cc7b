package host_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/events"
	"github.com/xenhost/xenhost/xen/host"
)

// supervised is a host with web1, whose toolstack has lost it, and a Supervise
// that looks all the time.
func supervised(t *testing.T, change func(*host.Guest)) *world {
	t.Helper()
	w := newWorld(t)
	g := web1(t)
	if change != nil {
		change(&g)
	}
	_, err := w.Provision(t.Context(), g, nil)
	require.NoError(t, err)
	require.NoError(t, w.domains.LoseMonitor(id))
	w.supervise(t)
	return w
}

func (w *world) supervise(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() {
		over <- w.Supervise(ctx, events.Every(time.Millisecond), &host.SuperviseOptions{Patience: 10 * time.Millisecond})
	}()
	t.Cleanup(func() {
		cancel()
		assert.ErrorIs(t, <-over, context.Canceled)
	})
}

// domain is the guest's domain now, or the zero Domain.
func (w *world) domain(t *testing.T) xen.Domain {
	t.Helper()
	d, err := w.domains.Lookup(context.Background(), id)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	return d
}

func (w *world) becomes(t *testing.T, domid int, state xen.State) {
	t.Helper()
	require.Eventually(t, func() bool { d := w.domain(t); return d.ID == domid && d.State == state }, 5*time.Second, time.Millisecond,
		"domid %d is %s; there is:\n%s", domid, state, w.domains)
}

// stays checks that nobody acts, for several times Patience.
func (w *world) stays(t *testing.T, domid int, state xen.State) {
	t.Helper()
	w.becomes(t, domid, state)
	require.Never(t, func() bool { d := w.domain(t); return d.ID != domid || d.State != state }, 100*time.Millisecond, 5*time.Millisecond, "%s", w.domains)
}

func TestSuperviseReboot(t *testing.T) {
	w := supervised(t, nil)
	require.NoError(t, w.domains.GuestReboot(id))
	w.becomes(t, 2, xen.Running)
	require.NoError(t, w.domains.LoseMonitor(id))
	require.NoError(t, w.domains.GuestReboot(id))
	w.stays(t, 3, xen.Running)
}

// Where the toolstack acts by itself, nobody else does.
func TestSuperviseLeavesItToTheToolstack(t *testing.T) {
	w := newWorld(t)
	_, err := w.Provision(t.Context(), web1(t), nil)
	require.NoError(t, err)
	w.supervise(t)
	require.NoError(t, w.domains.GuestReboot(id))
	w.stays(t, 2, xen.Running)
	require.NoError(t, w.domains.GuestPoweroff(id))
	w.stays(t, 0, "")
	require.NoError(t, w.Start(t.Context(), id))
	require.NoError(t, w.domains.Destroy(t.Context(), id))
	w.stays(t, 0, "") // an admin's xl destroy
}

func TestSuperviseCrash(t *testing.T) {
	w := supervised(t, nil)
	require.NoError(t, w.domains.GuestCrash(id))
	w.stays(t, 0, "") // destroy is the default
	report, err := w.Boot(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []uuid.UUID{id}, report.Started)
}

// A crash a start: each restart comes later than the one before.
func TestSuperviseCrashLoop(t *testing.T) {
	w := supervised(t, func(g *host.Guest) { g.OnCrash = "restart" })
	var last time.Duration
	for domid := 1; domid <= 4; domid++ {
		require.NoError(t, w.domains.LoseMonitor(id))
		require.NoError(t, w.domains.GuestCrash(id))
		crashed := time.Now()
		w.becomes(t, domid+1, xen.Running)
		last = time.Since(crashed)
	}
	assert.GreaterOrEqual(t, last, 80*time.Millisecond, "the fourth waits 8 times Patience")
}

func TestSupervisePreserve(t *testing.T) {
	w := supervised(t, func(g *host.Guest) { g.OnCrash, g.OnReboot = "preserve", "destroy" })
	require.NoError(t, w.domains.GuestCrash(id))
	w.stays(t, 1, xen.Crashed)
	require.NoError(t, w.domains.Destroy(t.Context(), id))
	w.stays(t, 0, "")
	require.NoError(t, w.Start(t.Context(), id))
	require.NoError(t, w.domains.LoseMonitor(id))
	require.NoError(t, w.domains.GuestReboot(id))
	w.stays(t, 0, "")
}

func TestSupervisePoweroff(t *testing.T) {
	w := supervised(t, nil)
	require.NoError(t, w.domains.GuestPoweroff(id))
	w.stays(t, 0, "")
	require.NoError(t, w.Start(t.Context(), id))
	w.stays(t, 2, xen.Running)
}

// While a move or another verb holds the guest, it is that one's to deal with.
func TestSuperviseWaitsForOthers(t *testing.T) {
	w := supervised(t, nil)
	l, err := w.Hold(id)
	require.NoError(t, err)
	require.NoError(t, w.domains.GuestReboot(id))
	w.stays(t, 1, xen.Stopped)
	l.Release()
	w.becomes(t, 2, xen.Running)
}

func TestSuperviseObeysTheOwner(t *testing.T) {
	w := newWorld(t)
	handAway(t, w)
	ctx := t.Context()
	// Somebody made domains by hand: one of the guest that was handed away, one
	// of a guest that nobody knows.
	disk := lvm.ID{Group: "guests", Name: "other"}
	_, err := w.volumes.Create(ctx, lvm.Spec{ID: disk, Size: 8 << 20})
	require.NoError(t, err)
	v, err := w.volumes.Volume(ctx, disk)
	require.NoError(t, err)
	spec := web1(t).Spec(map[lvm.ID]string{web1(t).Disks[0].Volume: v.Path})
	_, err = w.domains.Create(ctx, spec, nil)
	require.NoError(t, err)
	foreign := spec.Clone()
	foreign.Name, foreign.UUID, foreign.Disks, foreign.Vifs = "foreign", uuid.New(), nil, nil
	_, err = w.domains.Create(ctx, foreign, nil)
	require.NoError(t, err)
	for _, guest := range []uuid.UUID{id, foreign.UUID} {
		require.NoError(t, w.domains.LoseMonitor(guest))
		require.NoError(t, w.domains.GuestReboot(guest))
	}
	w.supervise(t)
	w.stays(t, 2, xen.Stopped)
	d, err := w.domains.Lookup(ctx, foreign.UUID)
	require.NoError(t, err)
	assert.Equal(t, xen.Stopped, d.State)
}

// What Stop left off stays off.
func TestSuperviseObeysOff(t *testing.T) {
	w := supervised(t, nil)
	_, err := w.Stop(t.Context(), id)
	require.NoError(t, err)
	w.stays(t, 0, "")
}

// A host that is in trouble is tried again and again.
func TestSuperviseTriesAgain(t *testing.T) {
	w := supervised(t, nil)
	w.domains.Fail("list", errors.New("xl is tired"))
	w.domains.Fail("create", xen.ErrNoMemory)
	w.domains.Fail("destroy", xen.ErrDirty)
	require.NoError(t, w.domains.GuestReboot(id))
	require.Eventually(t, func() bool { return w.domain(t).State == xen.Running }, 5*time.Second, time.Millisecond)
}

func TestBootOrder(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	for i, g := range []struct {
		name  string
		order int
	}{{"c", 0}, {"a", 5}, {"d", -1}, {"b", 0}} {
		guest := web1(t)
		guest.UUID, guest.Name, guest.Order = uuid.UUID{15: byte(i + 1)}, g.name, g.order
		guest.Disks[0].Volume.Name = g.name
		guest.Nics, guest.Forwards = nil, nil
		_, err := w.Provision(ctx, guest, nil)
		require.NoError(t, err)
	}
	w.domains.PowerOff()
	w.domains.PowerOn()
	_, err := w.Boot(ctx)
	require.NoError(t, err)
	list, err := w.domains.List(ctx)
	require.NoError(t, err)
	var names []string
	for _, d := range list {
		names = append(names, d.Name)
	}
	assert.Equal(t, []string{"d", "b", "c", "a"}, names, "by domid")
}
