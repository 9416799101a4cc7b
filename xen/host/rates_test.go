package host_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/shaping/diskrate"
	"github.com/xenhost/xenhost/shaping/diskrate/diskratetest"
	"github.com/xenhost/xenhost/shaping/shapingtest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

var line = shaping.Uplink{Dev: "eth0", Rate: shaping.Gbit, Dom0: 100 * shaping.Mbit}

// shaped composes the world's host anew with rates, as after a boot: the
// kernel has forgotten everything, the files have not.
func (w *world) shaped(t *testing.T) *shapingtest.Fake {
	t.Helper()
	rates := shapingtest.New(nil)
	w.Host = host.New(host.Config{
		Name: "curacao", Domains: plugging{w.domains, rates}, Volumes: w.volumes, Network: w.network, StateDir: w.state,
		Shaping: rates, Uplink: line,
	})
	_, err := w.Boot(t.Context())
	require.NoError(t, err)
	return rates
}

// plugging makes vifs with domains, as Xen does.
type plugging struct {
	xen.Domains
	rates *shapingtest.Fake
}

func (p plugging) Create(ctx context.Context, s xen.Spec, o *xen.CreateOptions) (xen.Domain, error) {
	d, err := p.Domains.Create(ctx, s, o)
	if err == nil {
		for _, v := range s.Vifs {
			p.rates.Plug(v.Name)
		}
	}
	return d, err
}

func fast(t *testing.T) host.Guest {
	g := web1(t)
	g.Rates = shaping.Policy{Download: 100 * shaping.Mbit, Upload: 10 * shaping.Mbit, Ceil: 50 * shaping.Mbit}
	return g
}

// inForce checks that exactly this is in force, vifs included.
func inForce(t *testing.T, rates *shapingtest.Fake, guests ...host.Guest) {
	t.Helper()
	want := shaping.State{Uplink: line}
	for _, g := range guests {
		want.Guests = append(want.Guests, shaping.Guest{
			UUID: g.UUID, Vifs: []string{network.VifName(g.UUID, 0)}, Policy: g.Rates, Throttle: g.Throttle,
		})
	}
	have, err := rates.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, want.Normalize(), have)
}

func TestRatesLiveWithTheGuest(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	rates := w.shaped(t)
	g, err := w.Provision(ctx, fast(t), nil)
	require.NoError(t, err)
	inForce(t, rates, g)

	_, err = w.Stop(ctx, id)
	require.NoError(t, err)
	rates.Unplug(network.VifName(id, 0))
	require.NoError(t, w.Start(ctx, id))
	inForce(t, rates, g)

	g.Rates.Upload = 20 * shaping.Mbit
	require.NoError(t, w.SetRates(ctx, id, g.Rates))
	inForce(t, rates, g)
	g.Throttle = shaping.Throttle{Rate: shaping.Mbit, Until: time.Now().Add(time.Hour).UTC().Truncate(time.Second)}
	require.NoError(t, w.Throttle(ctx, id, g.Throttle))
	inForce(t, rates, g)

	rates = w.shaped(t)
	inForce(t, rates, g)
	require.NoError(t, w.Throttle(ctx, id, shaping.Throttle{}))
	g.Throttle = shaping.Throttle{}
	inForce(t, rates, g)

	require.NoError(t, w.Terminate(ctx, id))
	inForce(t, rates)
}

// TestThrottleEnds: a throttle that was written down before the host lost its
// power ends at its time under the keeper of the next boot, and stays ended.
func TestThrottleEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the hour passes at once
		w, ctx := newWorld(t), t.Context()
		w.shaped(t)
		g, err := w.Provision(ctx, fast(t), nil)
		require.NoError(t, err)
		throttle := shaping.Throttle{Rate: shaping.Mbit, Until: time.Now().Add(time.Hour).UTC().Truncate(time.Second)}
		require.NoError(t, w.Throttle(ctx, id, throttle))

		rates := w.shaped(t)
		kept, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- w.KeepRates(kept) }()
		time.Sleep(time.Until(throttle.Until) - time.Millisecond)
		synctest.Wait()
		held := g
		held.Throttle = throttle
		inForce(t, rates, held)
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		inForce(t, rates, g)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		inForce(t, w.shaped(t), g)
	})
}

func TestRatesAreRefused(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	require.ErrorIs(t, w.SetRates(ctx, id, shaping.Policy{}), errors.ErrUnsupported)
	rates := w.shaped(t)
	require.ErrorIs(t, w.SetRates(ctx, id, shaping.Policy{}), host.ErrNotOwner)

	greedy := fast(t)
	greedy.Rates.Upload, greedy.Rates.Ceil = shaping.Gbit, 0
	_, err := w.Provision(ctx, greedy, nil)
	require.ErrorIs(t, err, shaping.ErrOvercommitted)
	_, err = w.Guest(ctx, id)
	require.ErrorIs(t, err, fs.ErrNotExist, "all of it was taken back")
	wrong := fast(t)
	wrong.Rates.Weight = -1
	_, err = w.Provision(ctx, wrong, nil)
	require.ErrorIs(t, err, shaping.ErrInvalid)

	g, err := w.Provision(ctx, fast(t), nil)
	require.NoError(t, err)
	require.ErrorIs(t, w.SetRates(ctx, id, greedy.Rates), shaping.ErrOvercommitted)
	require.ErrorIs(t, w.Throttle(ctx, id, shaping.Throttle{Rate: 1}), shaping.ErrInvalid)
	inForce(t, rates, g)
	s, err := w.Guest(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, g, s.Guest)

	rates.Fail("set", errors.New("no netlink"))
	require.ErrorContains(t, w.SetRates(ctx, id, shaping.Policy{}), "no netlink")
	inForce(t, w.shaped(t), g)
}

// A guest that arrives is refused while nothing of it is here, if the uplink
// can not promise what it brings; and its rates leave with it.
func TestRatesTravel(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	rates := w.shaped(t)
	resident := fast(t)
	resident.UUID, resident.Name, resident.Forwards = uuid.New(), "resident", nil
	resident.Disks[0].Volume.Name = "resident"
	resident.Nics[0].MAC[5], resident.Nics[0].Addresses = 9, nil
	resident.Rates = shaping.Policy{Upload: 895 * shaping.Mbit}
	resident, err := w.Provision(ctx, resident, nil)
	require.NoError(t, err)

	l := hold(t, w)
	g := fast(t)
	require.NoError(t, l.SetRecord(record(owner.Receiving, 2, "islay")))
	_, err = l.Receive(ctx, g, 2)
	require.ErrorIs(t, err, shaping.ErrOvercommitted)
	inForce(t, rates, resident)
	_, err = w.volumes.Volume(ctx, g.Disks[0].Volume)
	require.ErrorIs(t, err, fs.ErrNotExist)

	g.Rates.Upload = 5 * shaping.Mbit
	_, err = l.Receive(ctx, g, 2)
	require.NoError(t, err)
	inForce(t, rates, resident)
	require.NoError(t, l.SetRecord(record(owner.Ready, 2, "islay")))
	require.NoError(t, l.SetRecord(record(owner.Committed, 2, "islay")))
	require.NoError(t, l.Adopt(ctx))
	have, err := rates.Read(ctx)
	require.NoError(t, err)
	arrived, ok := have.Guest(id)
	require.True(t, ok)
	assert.Equal(t, g.Rates, arrived.Policy)
	require.NoError(t, l.PutAside(ctx))
	inForce(t, rates, resident)
}

// TestDiskLimits: a limit is in force before the guest is, outlasts the host's
// power, and one that this host can not keep does not keep a guest off.
func TestDiskLimits(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	require.ErrorIs(t, w.LimitDisk(ctx, id, "xvda", diskrate.Limit{}), errors.ErrUnsupported)
	path := web1(t).Devices()[web1(t).Disks[0].Volume]
	limited := func() (*diskratetest.Fake, diskrate.Device) {
		disks := diskratetest.New()
		device := disks.Plug(path)
		w.Host = host.New(host.Config{
			Name: "curacao", Domains: w.domains, Volumes: w.volumes, Network: w.network, StateDir: w.state, DiskRates: disks,
		})
		return disks, device
	}
	inForce := func(f *diskratetest.Fake, want map[diskrate.Device]diskrate.Limit) {
		t.Helper()
		s, err := f.Read(ctx)
		require.NoError(t, err)
		assert.Equal(t, want, s.Limits)
	}
	disks, device := limited()
	_, err := w.Provision(ctx, web1(t), nil)
	require.NoError(t, err)
	limit := diskrate.Limit{ReadBytes: 10 << 20, WriteOps: 100}
	require.NoError(t, w.LimitDisk(ctx, id, "xvda", limit))
	inForce(disks, map[diskrate.Device]diskrate.Limit{device: limit})
	require.ErrorIs(t, w.LimitDisk(ctx, id, "xvdz", limit), fs.ErrNotExist)
	require.ErrorIs(t, w.LimitDisk(ctx, id, "xvda", diskrate.Limit{ReadBytes: 1}), diskrate.ErrInvalid)

	disks, device = limited() // the host has lost its power
	require.NoError(t, w.domains.Destroy(ctx, id))
	_, err = w.Boot(ctx)
	require.NoError(t, err)
	inForce(disks, map[diskrate.Device]diskrate.Limit{device: limit})

	_, err = w.Stop(ctx, id)
	require.NoError(t, err)
	disks.Unplug(path)
	limit.ReadOps = 7
	require.NoError(t, w.LimitDisk(ctx, id, "xvda", limit), "a guest that is off")
	device = disks.Plug(path)
	require.NoError(t, w.Start(ctx, id))
	inForce(disks, map[diskrate.Device]diskrate.Limit{device: limit})

	disks, _ = limited()
	disks.Unsupported = true
	require.ErrorIs(t, w.LimitDisk(ctx, id, "xvda", diskrate.Limit{ReadOps: 9}), errors.ErrUnsupported)
	_, err = w.Stop(ctx, id)
	require.NoError(t, err)
	require.NoError(t, w.Start(ctx, id), "runs without")
	require.NoError(t, w.LimitDisk(ctx, id, "xvda", diskrate.Limit{}))
}
