package host_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
)

func (w *world) empty(t *testing.T) {
	t.Helper()
	volumes, err := w.volumes.Volumes(t.Context(), "guests")
	require.NoError(t, err)
	assert.Empty(t, volumes)
	domains, err := w.domains.List(t.Context())
	require.NoError(t, err)
	assert.Empty(t, domains)
	left, err := filepath.Glob(filepath.Join(w.state, "guests", "*.json"))
	require.NoError(t, err)
	assert.Empty(t, left)
	w.noClaims(t)
}

func TestProvisionAll(t *testing.T) {
	w, ctx := small(t, 4, 64<<20), t.Context()
	orders := []host.Order{{Guest: plainGuest(1)}, {Guest: plainGuest(2), Options: &host.ProvisionOptions{Stopped: true}}, {Guest: plainGuest(3)}}
	made, err := w.ProvisionAll(ctx, orders)
	require.NoError(t, err)
	require.Len(t, made, 3)
	for i, g := range made {
		assert.Equal(t, orders[i].Guest.UUID, g.UUID)
		s, err := w.Guest(ctx, g.UUID)
		require.NoError(t, err)
		assert.Equal(t, g, s.Guest)
		assert.Equal(t, i != 1, s.Domain != nil)
	}
}

// Whichever fails and whenever, nothing of the batch stays.
func TestProvisionAllTakesBack(t *testing.T) {
	boom := errors.New("boom")
	image := func(r io.Reader) *host.ProvisionOptions {
		return &host.ProvisionOptions{Images: map[string]io.Reader{"xvda": r}}
	}
	for name, c := range map[string]struct {
		third *host.ProvisionOptions
		fail  func(*world, context.CancelFunc)
		want  error
	}{
		"an image":    {image(iotest.ErrReader(boom)), func(*world, context.CancelFunc) {}, boom},
		"a start":     {nil, func(w *world, _ context.CancelFunc) { w.domains.FailAfter("create", boom) }, boom},
		"is ended":    {image(bytes.NewReader(make([]byte, 3<<20))), nil, context.Canceled},
		"no more mem": {nil, func(w *world, _ context.CancelFunc) { w.domains.Fail("create", xen.ErrNoMemory) }, xen.ErrNoMemory},
	} {
		t.Run(name, func(t *testing.T) {
			w := small(t, 4, 64<<20)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			orders := []host.Order{{Guest: plainGuest(1)}, {Guest: plainGuest(2)}, {Guest: plainGuest(3), Options: c.third}}
			if c.fail == nil {
				orders[2].Options.Progress = func(string, int64) { cancel() }
			} else {
				c.fail(w, cancel)
			}
			_, err := w.ProvisionAll(ctx, orders)
			require.ErrorIs(t, err, c.want)
			w.empty(t)
		})
	}
	w := small(t, 2, 64<<20)
	_, err := w.ProvisionAll(t.Context(), []host.Order{{Guest: plainGuest(1)}, {Guest: plainGuest(2)}, {Guest: plainGuest(3)}})
	require.ErrorIs(t, err, xen.ErrNoMemory)
	require.ErrorContains(t, err, "guest 3 of 3")
	w.empty(t)
	// One that is there already is not the batch's to remove.
	_, err = w.Provision(t.Context(), plainGuest(1), nil)
	require.NoError(t, err)
	_, err = w.ProvisionAll(t.Context(), []host.Order{{Guest: plainGuest(2)}})
	require.NoError(t, err)
	taken := plainGuest(2)
	taken.Disks[0].Volume = lvm.ID{Group: "guests", Name: "else"}
	w2 := small(t, 4, 64<<20)
	_, err = w2.Provision(t.Context(), plainGuest(2), nil)
	require.NoError(t, err)
	_, err = w2.ProvisionAll(t.Context(), []host.Order{{Guest: plainGuest(1)}, {Guest: taken}})
	require.Error(t, err)
	guests, err := w2.Guests(t.Context())
	require.NoError(t, err)
	require.Len(t, guests, 1)
	assert.NotNil(t, guests[0].Domain)
}
