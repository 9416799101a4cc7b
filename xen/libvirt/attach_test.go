package libvirt

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

func moreDisk(t *testing.T) xen.Disk {
	path := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	return xen.Disk{Dev: "xvdb", Path: path}
}

// libxl leaves a device half made when an attach fails, and libvirt forgets it.
func TestAttachTakesAwayWhatItLeft(t *testing.T) {
	x := startDom0(t)
	x.attaches = func(x *dom0Host) *rpc.Error {
		x.half = []string{"xvdb"}
		return fault
	}
	err := x.driver(t, Limits{}).AttachDisk(t.Context(), x.spec.UUID, moreDisk(t))
	require.ErrorContains(t, err, "libxenlight failed")
	require.NotErrorIs(t, err, xen.ErrDirty)
	assert.Equal(t, []string{"attach", "xl block-detach 2 xvdb"}, x.did())

	x.stuck, x.verbs = true, nil
	err = x.driver(t, Limits{}).AttachDisk(t.Context(), x.spec.UUID, moreDisk(t))
	require.ErrorIs(t, err, xen.ErrDirty)
	assert.Contains(t, x.did(), "xl block-detach -f 2 xvdb", "a paused guest does not answer")
}

func TestAttachThatLeavesNothing(t *testing.T) {
	x := startDom0(t)
	x.attaches = func(*dom0Host) *rpc.Error { return fault }
	err := x.driver(t, Limits{}).AttachDisk(t.Context(), x.spec.UUID, moreDisk(t))
	require.ErrorContains(t, err, "libxl-driver.log")
	require.NotErrorIs(t, err, xen.ErrDirty)
	assert.Equal(t, []string{"attach"}, x.did())
}

// What somebody attached by xl is not ours to take away.
func TestAttachWhereXlWasFaster(t *testing.T) {
	x := startDom0(t)
	x.half = []string{"xvdb"}
	err := x.driver(t, Limits{}).AttachDisk(t.Context(), x.spec.UUID, moreDisk(t))
	require.ErrorIs(t, err, fs.ErrExist)
	assert.Empty(t, x.did())
}

func TestAttachThatHangs(t *testing.T) {
	x := startDom0(t)
	x.silent = func(proc uint32) bool { return proc == procAttach }
	err := x.driver(t, Limits{Attach: 100 * time.Millisecond}).AttachDisk(t.Context(), x.spec.UUID, moreDisk(t))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, xen.ErrDirty, "nothing of it is there")
}

func TestDetachThatTheGuestRefuses(t *testing.T) {
	x := startDom0(t)
	before := x.answer
	x.answer = func(proc uint32, args []byte) (xdr, *rpc.Error, bool) {
		if proc == procDetach {
			return nil, fault, true
		}
		return before(proc, args)
	}
	d := x.driver(t, Limits{})
	require.ErrorIs(t, d.DetachDisk(t.Context(), x.spec.UUID, "xvda"), xen.ErrBusy)
	require.ErrorIs(t, d.DetachDisk(t.Context(), x.spec.UUID, "xvdc"), fs.ErrNotExist)
	require.ErrorIs(t, d.DetachVif(t.Context(), x.spec.UUID, xen.MAC{0, 0x16, 0x3e, 1, 1, 1}), fs.ErrNotExist)
	require.ErrorIs(t, d.AttachVif(t.Context(), x.spec.UUID, xen.Vif{Name: "lo", Bridge: "xenbr9", MAC: xen.MAC{0, 0x16, 0x3e, 1, 1, 1}}), fs.ErrExist)
	require.ErrorIs(t, d.AttachVif(t.Context(), x.spec.UUID, xen.Vif{Name: "a.1", Bridge: "xenbr9", MAC: xen.MAC{0, 0x16, 0x3e, 1, 1, 1}}), xen.ErrInvalid)
}
