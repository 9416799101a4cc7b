package libvirt

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// A domain whose restart failed stays on libvirt's list without a domid.
func TestGhost(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	ghost := running(spec)
	ghost.ID = notRunning
	d.domains = []guest{ghost}
	driver := d.limited(Limits{Destroy: 500 * time.Millisecond})
	seen, err := driver.Lookup(t.Context(), spec.UUID)
	require.NoError(t, err)
	assert.Equal(t, xen.Domain{UUID: spec.UUID, ID: -1, Name: "web1", State: xen.Building}, seen)
	err = driver.Destroy(t.Context(), spec.UUID)
	require.ErrorIs(t, err, xen.ErrDirty)
	assert.ErrorContains(t, err, "restart libvirtd")
	_, err = driver.Shutdown(t.Context(), spec.UUID, nil)
	require.ErrorIs(t, err, xen.ErrDirty)
}

// A definition is no domain.
func TestDefinition(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.define("web1", spec.UUID)
	driver := d.driver()
	_, err := driver.Lookup(t.Context(), spec.UUID)
	require.ErrorIs(t, err, fs.ErrNotExist)
	list, err := driver.List(t.Context())
	require.NoError(t, err)
	assert.Empty(t, list)
	require.ErrorIs(t, driver.Destroy(t.Context(), spec.UUID), fs.ErrNotExist)
}

// Another job has the domain: libvirt is asked again until it is free.
func TestDestroyWaitsForAJob(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.domains = []guest{running(spec)}
	refuse := 2
	d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) {
		if proc != procDestroy || refuse == 0 {
			return nil, nil, false
		}
		refuse--
		return nil, &rpc.Error{Code: 68, Message: "Timed out during operation: cannot acquire state change lock"}, true
	}
	require.NoError(t, d.driver().Destroy(t.Context(), spec.UUID))
	assert.Zero(t, refuse)
}

// libvirt refuses, and the domain is as it was.
func TestDestroyRefused(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.domains = []guest{running(spec)}
	d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) {
		return nil, &rpc.Error{Code: 88, Message: "access denied"}, proc == procDestroy
	}
	require.ErrorIs(t, d.driver().Destroy(t.Context(), spec.UUID), fs.ErrPermission)
}

// libvirt says yes, and the domain stays.
func TestDestroyWithoutEffect(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.domains = []guest{running(spec)}
	d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) { return nil, nil, proc == procDestroy }
	driver := d.limited(Limits{Destroy: 500 * time.Millisecond})
	require.ErrorIs(t, driver.Destroy(t.Context(), spec.UUID), xen.ErrDirty)
}

// The guest reboots when it is asked to power off: under its new domid it is
// asked again.
func TestShutdownOfAGuestThatReboots(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.domains = []guest{running(spec)}
	asked := 0
	d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) {
		if proc != procShutdown {
			return nil, nil, false
		}
		if asked++; asked > 1 {
			return nil, nil, false
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.domains[0].ID = notRunning
		time.AfterFunc(20*time.Millisecond, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.domains[0].ID = 3
		})
		return nil, nil, true
	}
	how, err := d.driver().Shutdown(t.Context(), spec.UUID, nil)
	require.NoError(t, err)
	assert.Equal(t, xen.Clean, how)
	assert.Equal(t, 2, asked)
}

func TestShutdown(t *testing.T) {
	for name, tc := range map[string]struct {
		state, reason int32
		fail          *rpc.Error // of the request
		grace         time.Duration
		how           xen.Ending
	}{
		"hears":              {int32(rpc.DomainRunning), 0, nil, 0, xen.Clean},
		"paused":             {int32(rpc.DomainPaused), int32(rpc.DomainPausedUser), nil, 0, xen.Destroyed},
		"down and kept":      {int32(rpc.DomainShutoff), int32(rpc.DomainShutoffShutdown), nil, 0, xen.Clean},
		"crashed and kept":   {int32(rpc.DomainShutoff), int32(rpc.DomainShutoffCrashed), nil, 0, xen.Destroyed},
		"no grace":           {int32(rpc.DomainRunning), 0, nil, -1, xen.Destroyed},
		"can not be asked":   {int32(rpc.DomainRunning), 0, &rpc.Error{Code: 3}, 0, xen.Destroyed},
		"does not answer":    {int32(rpc.DomainRunning), 0, &rpc.Error{Code: 1, Message: "Failed to shutdown domain"}, 20 * time.Millisecond, xen.Destroyed},
		"is gone by itself":  {int32(rpc.DomainRunning), 0, &rpc.Error{Code: 42}, 0, xen.Clean},
		"operation invalid ": {int32(rpc.DomainRunning), 0, &rpc.Error{Code: 55}, 20 * time.Millisecond, xen.Destroyed},
	} {
		t.Run(name, func(t *testing.T) {
			d, spec := startDaemon(t), testSpec(t)
			g := running(spec)
			g.state, g.reason = tc.state, tc.reason
			d.domains = []guest{g}
			d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) {
				return nil, tc.fail, proc == procShutdown && tc.fail != nil
			}
			how, err := d.driver().Shutdown(t.Context(), spec.UUID, &xen.ShutdownOptions{Grace: tc.grace})
			require.NoError(t, err)
			assert.Equal(t, tc.how, how)
		})
	}
}

// libvirtd dies while it is asked, and comes back: the guest is asked again, and
// not destroyed for a request that it may never have heard.
func TestShutdownAcrossARestart(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.domains = []guest{running(spec)}
	d.hangUp = 2
	how, err := d.driver().Shutdown(t.Context(), spec.UUID, nil)
	require.NoError(t, err)
	assert.Equal(t, xen.Clean, how)
	assert.Equal(t, []uint32{procShutdown}, d.said)
	assert.Zero(t, d.hangUp)
}

func TestShutdownRefused(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.domains = []guest{running(spec)}
	d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) {
		return nil, &rpc.Error{Code: 88, Message: "access denied"}, proc == procShutdown
	}
	_, err := d.driver().Shutdown(t.Context(), spec.UUID, nil)
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.Len(t, d.left(), 1)
}

func TestPauseReadsBack(t *testing.T) {
	d, spec := startDaemon(t), testSpec(t)
	d.domains = []guest{running(spec)}
	driver := d.driver()
	require.NoError(t, driver.Pause(t.Context(), spec.UUID))
	require.NoError(t, driver.Pause(t.Context(), spec.UUID))
	require.NoError(t, driver.Unpause(t.Context(), spec.UUID))
	assert.Equal(t, []uint32{procSuspend, procResume}, d.said)

	d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) { return nil, nil, proc == procSuspend }
	require.ErrorContains(t, driver.Pause(t.Context(), spec.UUID), "libvirt did it, and the domain is running")

	d.domains[0].state, d.domains[0].reason = int32(rpc.DomainShutoff), int32(rpc.DomainShutoffCrashed)
	require.ErrorIs(t, driver.Pause(t.Context(), spec.UUID), xen.ErrBusy)
}

func TestRename(t *testing.T) {
	for name, tc := range map[string]struct {
		code  uint32
		means error
	}{
		"a driver without it":  {3, errors.ErrUnsupported},
		"only while it is off": {55, errors.ErrUnsupported},
	} {
		d, spec := startDaemon(t), testSpec(t)
		d.domains = []guest{running(spec)}
		d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) {
			return nil, &rpc.Error{Code: tc.code}, proc == procRename
		}
		require.ErrorIs(t, d.driver().Rename(t.Context(), spec.UUID, "web2"), tc.means, name)
	}
	d, spec := startDaemon(t), testSpec(t)
	d.domains = []guest{running(spec)}
	d.answer = func(proc uint32, _ []byte) (xdr, *rpc.Error, bool) { return xdr(nil).u32(0), nil, proc == procRename }
	require.ErrorContains(t, d.driver().Rename(t.Context(), spec.UUID, "web2"), `its name is still "web1"`)
}
