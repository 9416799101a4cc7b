package host_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

func TestSuspend(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.Provision(ctx, web1(t), nil)
	require.NoError(t, err)
	how, err := w.Suspend(ctx, id, "not paid")
	require.NoError(t, err)
	assert.Equal(t, xen.Clean, how)
	_, err = w.domains.Lookup(ctx, id)
	require.ErrorIs(t, err, fs.ErrNotExist)

	// Nothing starts it: not the customer, not the power coming back.
	require.ErrorIs(t, w.Start(ctx, id), host.ErrSuspended)
	require.ErrorContains(t, w.Start(ctx, id), `"not paid"`)
	report, err := w.again().Boot(ctx)
	require.NoError(t, err)
	assert.Empty(t, report.Started)
	_, err = w.Stop(ctx, id)
	require.NoError(t, err)
	_, err = w.Suspend(ctx, id, "again")
	require.NoError(t, err)
	s, err := w.Guest(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, "not paid", s.Guest.Suspended.Why)

	require.NoError(t, w.Unsuspend(ctx, id))
	s, err = w.Guest(ctx, id)
	require.NoError(t, err)
	assert.NotNil(t, s.Domain)
	assert.Nil(t, s.Guest.Suspended)
	assert.False(t, s.Guest.Off)
	require.NoError(t, w.Unsuspend(ctx, id))

	// One that was off stays off.
	_, err = w.Stop(ctx, id)
	require.NoError(t, err)
	_, err = w.Suspend(ctx, id, "not paid")
	require.NoError(t, err)
	require.NoError(t, w.Unsuspend(ctx, id))
	s, err = w.Guest(ctx, id)
	require.NoError(t, err)
	assert.Nil(t, s.Domain)
	_, err = w.Suspend(ctx, uuid.New(), "")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// A crash between the note and the shutdown: another Suspend ends it, and so it
// is with Unsuspend.
func TestSuspendCutOff(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.Provision(ctx, web1(t), nil)
	require.NoError(t, err)
	boom := errors.New("boom")
	w.domains.Fail("shutdown", boom)
	_, err = w.Suspend(ctx, id, "not paid")
	require.ErrorIs(t, err, boom)
	_, err = w.Suspend(ctx, id, "not paid")
	require.NoError(t, err)
	_, err = w.domains.Lookup(ctx, id)
	require.ErrorIs(t, err, fs.ErrNotExist)
	w.domains.Fail("create", boom)
	require.ErrorIs(t, w.Unsuspend(ctx, id), boom)
	require.NoError(t, w.Unsuspend(ctx, id))
	_, err = w.domains.Lookup(ctx, id)
	require.NoError(t, err)
}

func TestLabels(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.Provision(ctx, web1(t), nil)
	require.NoError(t, err)
	_, err = w.SetLabels(ctx, id, host.Labels{"order": "4711", "customer": "anna"})
	require.NoError(t, err)
	g, err := w.SetLabels(ctx, id, host.Labels{"customer": "", "plan": "small"})
	require.NoError(t, err)
	assert.Equal(t, host.Labels{"order": "4711", "plan": "small"}, g.Labels)
	for _, bad := range []host.Labels{{"": "x"}, {"A": "x"}, {"a b": "x"}, {strings.Repeat("a", 64): "x"}, {"a": strings.Repeat("v", 1025)}} {
		_, err := w.SetLabels(ctx, id, bad)
		require.ErrorIs(t, err, host.ErrInvalid, bad)
	}
	l, err := w.Hold(id)
	require.NoError(t, err)
	require.NoError(t, l.SetRecord(owner.Record{UUID: id, State: owner.Prepared, Epoch: 1, Peer: "islay", Move: uuid.New()}))
	l.Release()
	_, err = w.SetLabels(ctx, id, host.Labels{"plan": "large"})
	require.ErrorIs(t, err, host.ErrNotOwner, "the definition is on its way")
}

func images(text string) *host.ProvisionOptions {
	return &host.ProvisionOptions{Images: map[string]io.Reader{"xvda": strings.NewReader(text)}}
}

func TestReinstall(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	two := web1(t)
	two.Disks = append(two.Disks, host.Disk{Dev: "xvdb", Volume: lvm.ID{Group: "guests", Name: "web1-data"}, Size: 4 << 20})
	g, err := w.Provision(ctx, two, &host.ProvisionOptions{Images: map[string]io.Reader{
		"xvda": strings.NewReader("old" + strings.Repeat("x", 2<<20)), "xvdb": strings.NewReader("data"),
	}})
	require.NoError(t, err)
	first, err := w.domains.Lookup(ctx, id)
	require.NoError(t, err)
	require.NoError(t, w.Reinstall(ctx, id, images("new")))
	disk := w.content(t, g.Disks[0].Volume)
	assert.Equal(t, "new", string(bytes.Trim(disk, "\x00")), "nothing of the old is left")
	assert.True(t, bytes.HasPrefix(w.content(t, g.Disks[1].Volume), []byte("data")))
	again, err := w.domains.Lookup(ctx, id)
	require.NoError(t, err)
	assert.NotEqual(t, first.ID, again.ID)
	s, err := w.Guest(ctx, id)
	require.NoError(t, err)
	assert.Equal(t, g, s.Guest)
	w.noClaims(t)

	require.ErrorIs(t, w.Reinstall(ctx, id, nil), host.ErrInvalid)
	require.ErrorIs(t, w.Reinstall(ctx, id, &host.ProvisionOptions{Images: map[string]io.Reader{"xvdc": strings.NewReader("")}}), fs.ErrNotExist)
	_, err = w.domains.Lookup(ctx, id)
	require.NoError(t, err, "a refusal stops nothing")
}

// A reinstallation that failed in the middle does not start, and can be done
// again.
func TestReinstallFails(t *testing.T) {
	boom := errors.New("boom")
	for name, fail := range map[string]func(*world) *host.ProvisionOptions{
		"image": func(*world) *host.ProvisionOptions {
			return &host.ProvisionOptions{Images: map[string]io.Reader{"xvda": io.MultiReader(strings.NewReader("half"), iotest.ErrReader(boom))}}
		},
		"remove":       func(w *world) *host.ProvisionOptions { w.volumes.FailAfter("remove", boom); return images("new") },
		"create":       func(w *world) *host.ProvisionOptions { w.volumes.Fail("create", boom); return images("new") },
		"create, late": func(w *world) *host.ProvisionOptions { w.volumes.FailAfter("create", boom); return images("new") },
		"tag":          func(w *world) *host.ProvisionOptions { w.volumes.Fail("tag", boom); return images("new") },
	} {
		t.Run(name, func(t *testing.T) {
			w, ctx := newWorld(t), t.Context()
			g, err := w.Provision(ctx, web1(t), nil)
			require.NoError(t, err)
			require.ErrorIs(t, w.Reinstall(ctx, id, fail(w)), boom)
			require.Error(t, w.Start(ctx, id))
			require.NoError(t, w.Reinstall(ctx, id, images("new")))
			assert.True(t, bytes.HasPrefix(w.content(t, g.Disks[0].Volume), []byte("new")))
			_, err = w.domains.Lookup(ctx, id)
			require.NoError(t, err)
		})
	}
}

func TestWipe(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	g, err := w.Provision(ctx, web1(t), images("secret"))
	require.NoError(t, err)
	require.ErrorIs(t, w.Wipe(ctx, id), host.ErrBusy)
	assert.True(t, bytes.HasPrefix(w.content(t, g.Disks[0].Volume), []byte("secret")))
	_, err = w.Stop(ctx, id)
	require.NoError(t, err)
	require.NoError(t, w.Wipe(ctx, id))
	assert.Zero(t, len(bytes.Trim(w.content(t, g.Disks[0].Volume), "\x00")))
	require.NoError(t, w.Terminate(ctx, id))
}
