package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/capacity"
	"github.com/xenhost/xenhost/xen/host/owner"
	"github.com/xenhost/xenhost/xen/xentest"
)

// small is a world with room for memory guests of plainGuest and a volume group of
// so many bytes.
func small(t *testing.T, memory int, group int64) *world {
	t.Helper()
	need := plainGuest(0).Need().Memory
	w := &world{
		domains: xentest.New(&xentest.Options{Memory: int64(memory)*need + 64<<20}),
		volumes: lvmtest.New(t.TempDir(), lvmtest.GroupSpec{Name: "guests", Size: group, Extent: 1 << 20}),
		network: networktest.New(nil), state: t.TempDir(),
	}
	w.Host = w.again()
	return w
}

// again is the host as another process composes it.
func (w *world) again() *host.Host {
	return host.New(host.Config{Name: "curacao", Domains: w.domains, Volumes: w.volumes, Network: w.network, StateDir: w.state})
}

func plainGuest(n int) host.Guest {
	name := fmt.Sprintf("web%d", n)
	return host.Guest{
		UUID: uuid.New(), Name: name, Type: xen.PVH, VCPUs: 1, Memory: 128 << 20, Kernel: "/lab/vmlinuz",
		Disks: []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: name}, Size: 4 << 20}},
	}
}

// TestTenAtOnce: ten orders at the same moment never get more than there is, of
// memory and of the volume group, and nothing of the others stays.
func TestTenAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		memory  int
		group   int64
		refusal error
	}{
		"memory":       {6, 1 << 30, xen.ErrNoMemory},
		"volume group": {100, 6 * 4 << 20, lvm.ErrNoSpace},
	} {
		t.Run(name, func(t *testing.T) {
			w := small(t, c.memory, c.group)
			var wait sync.WaitGroup
			errs := make([]error, 10)
			gate := make(chan struct{})
			for i := range errs {
				h := w.again()
				wait.Go(func() {
					<-gate
					image := map[string]io.Reader{"xvda": bytes.NewReader(make([]byte, 1<<20))}
					_, errs[i] = h.Provision(t.Context(), plainGuest(i), &host.ProvisionOptions{Images: image, Stopped: i%2 == 0})
				})
			}
			close(gate)
			wait.Wait()
			made := 0
			for _, err := range errs {
				if err == nil {
					made++
					continue
				}
				require.ErrorIs(t, err, c.refusal)
				var verb *host.Error
				require.ErrorAs(t, err, &verb)
				assert.NotContains(t, err.Error(), "xen: create", "it was refused before anything was begun")
				assert.NotContains(t, err.Error(), "lvm: create")
			}
			// One that comes or goes while another looks is counted twice: that may
			// refuse one too many, which finds its room now.
			assert.LessOrEqual(t, made, 6)
			assert.GreaterOrEqual(t, made, 5)
			for i := 10; made < 6; i++ {
				_, err := w.Provision(t.Context(), plainGuest(i), nil)
				require.NoError(t, err)
				made++
			}
			_, err := w.Provision(t.Context(), plainGuest(99), &host.ProvisionOptions{Stopped: true})
			require.ErrorIs(t, err, c.refusal)
			guests, err := w.Guests(t.Context())
			require.NoError(t, err)
			assert.Len(t, guests, 6)
			volumes, err := w.volumes.Volumes(t.Context(), "guests")
			require.NoError(t, err)
			assert.Len(t, volumes, 6)
			w.noClaims(t)
		})
	}
}

func (w *world) noClaims(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(w.state, "claims", "*.claim"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

// What a guest was sold is its own while it is off.
func TestOffIsStillSold(t *testing.T) {
	w, ctx := small(t, 2, 1<<30), t.Context()
	first, err := w.Provision(ctx, plainGuest(1), nil)
	require.NoError(t, err)
	before, err := w.Capacity(ctx)
	require.NoError(t, err)
	assert.Equal(t, plainGuest(0).Need().Memory+64<<20, before.Memory)
	assert.Equal(t, []string{"web1"}, []string{before.Guests[0].Name})
	_, err = w.Stop(ctx, first.UUID)
	require.NoError(t, err)
	after, err := w.Capacity(ctx)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	_, err = w.Provision(ctx, plainGuest(2), nil)
	require.NoError(t, err)
	_, err = w.Provision(ctx, plainGuest(3), nil)
	require.ErrorIs(t, err, xen.ErrNoMemory)
	require.NoError(t, w.Start(ctx, first.UUID))
	require.NoError(t, w.Terminate(ctx, first.UUID))
	_, err = w.Provision(ctx, plainGuest(3), nil)
	require.NoError(t, err)
}

// A move that arrives has its room from Receive on, before its domain is there,
// and may use what is kept for it; a sale may not.
func TestIncomingMoveIsCounted(t *testing.T) {
	w, ctx := small(t, 2, 1<<30), t.Context()
	w.Host = host.New(host.Config{
		Name: "curacao", Domains: w.domains, Volumes: w.volumes, Network: w.network, StateDir: w.state,
		Headroom: capacity.Headroom{Move: plainGuest(0).Need().Memory},
	})
	_, err := w.Provision(ctx, plainGuest(1), nil)
	require.NoError(t, err)
	_, err = w.Provision(ctx, plainGuest(2), nil)
	require.ErrorIs(t, err, xen.ErrNoMemory, "that is kept for a move")

	receive := func(g host.Guest) error {
		l, err := w.Hold(g.UUID)
		require.NoError(t, err)
		defer l.Release()
		require.NoError(t, l.SetRecord(owner.Record{UUID: g.UUID, State: owner.Receiving, Epoch: 2, Peer: "islay", Move: g.UUID}))
		if _, err = l.Receive(ctx, g, 2); err != nil {
			return err
		}
		_, err = l.Receive(ctx, g, 2)
		return err // a second attempt counts once
	}
	moving, late := plainGuest(4), plainGuest(5)
	require.NoError(t, receive(moving))
	require.ErrorIs(t, receive(late), xen.ErrNoMemory)
	left, err := w.Capacity(ctx)
	require.NoError(t, err)
	assert.EqualValues(t, 64<<20, left.Memory)
	l, err := w.Hold(moving.UUID)
	require.NoError(t, err)
	require.NoError(t, l.Discard(ctx))
	l.Release()
	require.NoError(t, receive(late))
	w.noClaims(t)
}

// A failure gives back what was claimed.
func TestFailureGivesBack(t *testing.T) {
	w, ctx := small(t, 1, 4<<20), t.Context()
	boom := errors.New("boom")
	for range 3 {
		w.domains.Fail("create", boom)
		_, err := w.Provision(ctx, plainGuest(1), nil)
		require.ErrorIs(t, err, boom)
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		_, err = w.Provision(cancelled, plainGuest(1), nil)
		require.ErrorIs(t, err, context.Canceled)
		w.noClaims(t)
	}
	_, err := w.Provision(ctx, plainGuest(1), nil)
	require.NoError(t, err)
}
