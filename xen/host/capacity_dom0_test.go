package host_test

import (
	"context"
	"fmt"
	"io/fs"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/capacity"
	"github.com/xenhost/xenhost/xen/xl"
)

// TestDom0TenAtOnce orders ten guests at the same moment where Xen has memory for
// five. Every second one stays off: its memory is sold all the same.
func TestDom0TenAtOnce(t *testing.T) {
	tier.Require(t, tier.Dom0)
	ctx, state := t.Context(), t.TempDir()
	open := func() *host.Host {
		return host.New(host.Config{
			Name: "curacao", Domains: xl.New(dom0.Local{}, nil), Volumes: lvm.New(dom0.Local{}, nil), Network: network.New(nil), StateDir: state,
		})
	}
	h := open()
	before, err := h.Capacity(ctx)
	require.NoError(t, err)
	each := before.ForSale() * 10 / 55 >> 20 << 20
	order := func(n int) host.Guest {
		name := fmt.Sprintf("crowd%d", n)
		return host.Guest{
			UUID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)), Name: name, Type: xen.PVH, Memory: each, TSCMode: "native",
			Kernel: xenlab.GuestKernel, Ramdisk: xenlab.GuestRamdisk, Cmdline: xenlab.Guest{Name: name}.Args(),
			Disks: []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: name}, Size: 4 << 20}},
		}
	}
	var wait sync.WaitGroup
	errs := make([]error, 10)
	t.Cleanup(func() {
		for n := range errs {
			if err := h.Terminate(context.Background(), order(n).UUID); err != nil {
				assert.ErrorIs(t, err, fs.ErrNotExist)
			}
		}
	})
	for n := range errs {
		h := open()
		wait.Go(func() { _, errs[n] = h.Provision(ctx, order(n), &host.ProvisionOptions{Stopped: n%2 == 0}) })
	}
	wait.Wait()
	made := 0
	for n, err := range errs {
		t.Logf("order %d: %v", n, err)
		if err == nil {
			made++
			continue
		}
		require.ErrorIs(t, err, xen.ErrNoMemory)
		assert.ErrorContains(t, err, "stay free", "it was refused before anything of it was made")
	}
	assert.LessOrEqual(t, made, 5)
	assert.GreaterOrEqual(t, made, 4, "one that comes while another looks may count twice")
	after, err := h.Capacity(ctx)
	require.NoError(t, err)
	assert.Len(t, after.Guests, made)
	assert.GreaterOrEqual(t, after.Memory, int64(capacity.DefaultDom0))
	t.Logf("RESULT ten orders of %d MiB where %d MiB are for sale: %d made, %d MiB left", each>>20, before.ForSale()>>20, made, after.ForSale()>>20)
	for n, err := range errs { // those that are off start: their memory is there
		if err == nil {
			require.NoError(t, h.Start(ctx, order(n).UUID))
		}
	}
}
