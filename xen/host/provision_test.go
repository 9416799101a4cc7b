package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

func TestProvision(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	image := bytes.Repeat([]byte("image "), 300_000)
	var last int64
	plain := web1(t)
	plain.Type, plain.VCPUs = "", 0
	g, err := w.Provision(ctx, plain, &host.ProvisionOptions{
		Images:   map[string]io.Reader{"xvda": bytes.NewReader(image)},
		Progress: func(_ string, done int64) { last = done },
	})
	require.NoError(t, err)
	assert.Equal(t, web1(t), g, "PVH and one vCPU are the defaults")
	assert.Equal(t, int64(len(image)), last)

	s, err := w.Guest(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, g, s.Guest)
	assert.Equal(t, owner.Running, s.Owner.State)
	assert.Equal(t, uint64(1), s.Owner.Epoch)
	require.NotNil(t, s.Domain)
	assert.Equal(t, xen.Running, s.Domain.State)
	require.Len(t, s.Volumes, 1)
	assert.Equal(t, []string{"xenhost.guest=" + id.String()}, s.Volumes[0].Tags)
	disk := w.content(t, g.Disks[0].Volume)
	assert.True(t, bytes.HasPrefix(disk, image))
	assert.Zero(t, bytes.Trim(disk[len(image):], "\x00"), "the rest reads as zeros")

	owns, to, ok := w.network.Lookup(network.TCP, 8080)
	assert.True(t, ok)
	assert.Equal(t, id, owns)
	assert.Equal(t, "192.168.0.10:80", to.String())

	_, err = w.Provision(ctx, web1(t), nil)
	require.ErrorIs(t, err, fs.ErrExist, "the same UUID")
	other := web1(t)
	other.UUID, other.Disks[0].Volume.Name = uuid.New(), "other"
	_, err = w.Provision(ctx, other, nil)
	require.ErrorIs(t, err, fs.ErrExist, "the same name")
	_, err = w.volumes.Volume(ctx, other.Disks[0].Volume)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// Whatever fails, nothing stays, and the same guest can be provisioned then.
func TestProvisionFails(t *testing.T) {
	boom := errors.New("boom")
	for name, fail := range map[string]func(*world){
		"create volume":       func(w *world) { w.volumes.Fail("create", boom) },
		"create volume, late": func(w *world) { w.volumes.FailAfter("create", boom) },
		"wipe":                func(w *world) { w.volumes.Fail("wipe", boom) },
		"open":                func(w *world) { w.volumes.Fail("open", boom) },
		"write":               func(w *world) { w.volumes.FailWrite(1, boom) },
		"tag":                 func(w *world) { w.volumes.Fail("tag", boom) },
		"tag, late":           func(w *world) { w.volumes.FailAfter("tag", boom) },
		"network":             func(w *world) { w.network.Fail("set", boom) },
		"network, late":       func(w *world) { w.network.FailAfter("set", boom) },
		"create domain":       func(w *world) { w.domains.Fail("create", boom) },
		"create domain, late": func(w *world) { w.domains.FailAfter("create", boom) },
	} {
		t.Run(name, func(t *testing.T) {
			w, ctx := newWorld(t), t.Context()
			before := w.volumes.String() + w.network.String() + w.domains.String()
			fail(w)
			_, err := w.Provision(ctx, web1(t), &host.ProvisionOptions{Images: map[string]io.Reader{"xvda": bytes.NewReader([]byte("image"))}})
			require.ErrorIs(t, err, boom)
			assert.Equal(t, before, w.volumes.String()+w.network.String()+w.domains.String())
			files, err := filepath.Glob(filepath.Join(w.state, "guests", "*.json"))
			require.NoError(t, err)
			assert.Empty(t, files)
			_, err = w.Provision(ctx, web1(t), nil)
			require.NoError(t, err)
		})
	}
}

func TestImageTooLarge(t *testing.T) {
	w := newWorld(t)
	_, err := w.Provision(t.Context(), web1(t), &host.ProvisionOptions{
		Images: map[string]io.Reader{"xvda": bytes.NewReader(make([]byte, 8<<20+1))},
	})
	require.ErrorIs(t, err, host.ErrInvalid)
	require.ErrorContains(t, err, "larger than the disk (8388608 bytes)")
}

// An image that ends in the middle, as a truncated .gz does, is no guest.
func TestTruncatedImage(t *testing.T) {
	w := newWorld(t)
	truncated := io.MultiReader(bytes.NewReader(make([]byte, 3000)), iotest.ErrReader(io.ErrUnexpectedEOF))
	_, err := w.Provision(t.Context(), web1(t), &host.ProvisionOptions{Images: map[string]io.Reader{"xvda": truncated}})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = w.Guest(t.Context(), id)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestProvisionRefuses(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	twice := web1(t)
	twice.Disks = append(twice.Disks, twice.Disks[0])
	twice.Disks[1].Dev = "xvdb"
	long := web1(t)
	long.Disks[0].Volume.Name = "a" + fmt.Sprintf("%062d", 0)
	empty := web1(t)
	empty.Disks[0].Size = 0
	evil := web1(t)
	evil.Name = "../../etc/x"
	for name, g := range map[string]host.Guest{"a volume twice": twice, "no room for a snapshot's name": long, "no size": empty, "a path as name": evil} {
		_, err := w.Provision(ctx, g, nil)
		require.Error(t, err, name)
		files, _ := filepath.Glob(filepath.Join(w.state, "guests", "*"))
		assert.Empty(t, files, name)
	}
	// A volume of that name that is not ours stays as it is.
	_, err := w.volumes.Create(ctx, lvm.Spec{ID: lvm.ID{Group: "guests", Name: "web1"}, Size: 8 << 20})
	require.NoError(t, err)
	_, err = w.Provision(ctx, web1(t), nil)
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = w.volumes.Volume(ctx, lvm.ID{Group: "guests", Name: "web1"})
	require.NoError(t, err)
}

func TestCancelledProvisionTakesBack(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.Provision(ctx, web1(t), &host.ProvisionOptions{
		Images:   map[string]io.Reader{"xvda": bytes.NewReader(make([]byte, 4<<20))},
		Progress: func(string, int64) { cancel() },
	})
	require.ErrorIs(t, err, context.Canceled)
	_, err = w.volumes.Volume(t.Context(), web1(t).Disks[0].Volume)
	require.ErrorIs(t, err, fs.ErrNotExist)
}
