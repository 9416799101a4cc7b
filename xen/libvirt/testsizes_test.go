package libvirt_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/libvirt"
)

// sizes changes the memory, the vCPUs, the pins and, where the scheduler has
// them, the weight and cap of a running domain that uses 2 vCPUs. grows: the
// guest takes up to 4 by itself.
func sizes(t *testing.T, d *libvirt.Driver, spec xen.Spec, grows, shares bool) {
	t.Helper()
	id := spec.UUID
	one := func() xen.Domain {
		dom, err := d.Lookup(t.Context(), id)
		require.NoError(t, err)
		return dom
	}
	t.Run("memory", func(t *testing.T) {
		less := spec.Memory - 16<<20
		require.NoError(t, d.SetMemory(t.Context(), id, less))
		assert.Equal(t, less, one().Memory)
		require.NoError(t, d.SetMemory(t.Context(), id, less+2<<20))
		assert.Equal(t, less+2<<20, one().Memory)
		for _, bytes := range []int64{spec.MaxMemory + 1<<20, spec.Memory - 1, 16 << 20, 0, -1 << 20, 2 << 40} {
			refused(t, d.SetMemory(t.Context(), id, bytes), "set memory", xen.ErrInvalid)
		}
		assert.Equal(t, less+2<<20, one().Memory)
		require.NoError(t, d.Pause(t.Context(), id))
		refused(t, d.SetMemory(t.Context(), id, less), "set memory", xen.ErrBusy)
		require.NoError(t, d.Unpause(t.Context(), id))
	})
	online := func() (n int) {
		vcpus, err := d.VCPUs(t.Context(), id)
		require.NoError(t, err)
		for i, v := range vcpus {
			assert.Equal(t, i, v.Number)
			if v.Online {
				n++
			}
		}
		return n
	}
	t.Run("vcpus", func(t *testing.T) {
		assert.Equal(t, 2, online())
		if grows {
			require.NoError(t, d.SetVCPUs(t.Context(), id, 4))
			assert.Equal(t, 4, online())
		}
		require.NoError(t, d.SetVCPUs(t.Context(), id, 1))
		assert.Equal(t, 1, online())
		for _, n := range []int{-1, 0, 5, 1 << 20} {
			refused(t, d.SetVCPUs(t.Context(), id, n), "set vcpus", xen.ErrInvalid)
		}
		require.NoError(t, d.SetVCPUs(t.Context(), id, 1), "as it is")
	})
	t.Run("pins", func(t *testing.T) {
		info, err := d.Info(t.Context())
		require.NoError(t, err)
		require.NoError(t, d.Pin(t.Context(), id, 0, xen.CPUSet{0}, nil))
		vcpus, err := d.VCPUs(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, xen.CPUSet{0}, vcpus[0].Hard.On(info.CPUs))
		for _, v := range vcpus[1:] {
			assert.Equal(t, xen.CPUSet(nil).On(info.CPUs), v.Hard.On(info.CPUs))
		}
		for _, bad := range []xen.CPUSet{{info.CPUs}, {}, {-1}} {
			refused(t, d.Pin(t.Context(), id, 0, bad, nil), "pin", xen.ErrInvalid)
		}
		refused(t, d.Pin(t.Context(), id, 9, nil, nil), "pin", xen.ErrInvalid)
		refused(t, d.Pin(t.Context(), id, -1, nil, nil), "pin", xen.ErrInvalid)
		refused(t, d.Pin(t.Context(), id, 0, nil, xen.CPUSet{0}), "pin", errors.ErrUnsupported)
	})
	t.Run("share", func(t *testing.T) {
		got, err := d.Share(t.Context(), id)
		if !shares {
			refused(t, err, "share", errors.ErrUnsupported)
			refused(t, d.SetShare(t.Context(), id, xen.Share{Weight: 512}), "set share", errors.ErrUnsupported)
			return
		}
		require.NoError(t, err)
		assert.Equal(t, xen.Share{Weight: xen.DefaultWeight}, got)
		want := xen.Share{Weight: 512, Cap: 50}
		require.NoError(t, d.SetShare(t.Context(), id, want))
		for _, bad := range []xen.Share{{}, {Weight: 65536}, {Weight: -1}, {Weight: 1, Cap: 401}, {Weight: 1, Cap: -1}} {
			refused(t, d.SetShare(t.Context(), id, bad), "set share", xen.ErrInvalid)
		}
		got, err = d.Share(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	})
	t.Run("nothing", func(t *testing.T) {
		none := uuid.New()
		refused(t, d.SetMemory(t.Context(), none, 64<<20), "set memory", fs.ErrNotExist)
		refused(t, d.SetVCPUs(t.Context(), none, 1), "set vcpus", fs.ErrNotExist)
		refused(t, d.Pin(t.Context(), none, 0, nil, nil), "pin", fs.ErrNotExist)
		refused(t, d.SetShare(t.Context(), none, xen.Share{Weight: 1}), "set share", fs.ErrNotExist)
	})
}

func refused(t *testing.T, err error, op string, means error) {
	t.Helper()
	require.ErrorIs(t, err, means)
	var e *xen.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, op, e.Op)
}

func TestTestDriverSizes(t *testing.T) {
	driver := testDriver(t, testLibvirtd(t))
	spec := testGuest(t, xen.PV)
	spec.MaxMemory, spec.VCPUs, spec.MaxVCPUs = 160<<20, 2, 4
	_, err := driver.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	sizes(t, driver, spec, true, false)
}
