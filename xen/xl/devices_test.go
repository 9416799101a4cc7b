package xl

import (
	"context"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

const (
	attachDisk = "xl block-attach 7 format=raw,vdev=xvdb,access=rw,backendtype=phy,target=/dev/guests/data"
	detachDisk = "xl block-detach 7 xvdb"
	attachVif  = "xl network-attach 7 mac=00:16:3e:00:00:02 bridge=xenbr0 vifname=web1.1"
	detachVif  = "xl network-detach 7 00:16:3e:00:00:02"
)

var (
	data = xen.Disk{Dev: "xvdb", Path: "/dev/guests/data"}
	more = xen.Vif{Name: "web1.1", Bridge: "xenbr0", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 2}}
)

// A failed attach leaves a device that does not work; it is taken away.
func TestAttachThatFailsLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		said   string
		after  string // a failed attach shows the device
		attach func(*Driver, *host) error
		want   []string
		means  error
	}{
		"disk": {"block-attach-busy", blocks(51712, 51728), func(d *Driver, h *host) error { return d.AttachDisk(t.Context(), h.domains[0].uuid, data) },
			[]string{attachDisk, detachDisk}, xen.ErrBusy},
		"vif": {"network-attach-no-bridge", nics("00:16:3e:00:00:01", "00:16:3e:00:00:02"), func(d *Driver, h *host) error { return d.AttachVif(t.Context(), h.domains[0].uuid, more) },
			[]string{attachVif, detachVif}, xen.ErrInvalid},
		"interface of that name": {"migrate-vifname-clash", nics("00:16:3e:00:00:01", "00:16:3e:00:00:02"), func(d *Driver, h *host) error { return d.AttachVif(t.Context(), h.domains[0].uuid, more) },
			[]string{attachVif, detachVif}, fs.ErrExist},
	} {
		t.Run(name, func(t *testing.T) {
			for _, stays := range []bool{false, true} {
				h, _ := one(t)
				list := map[bool]string{true: "xl block-list 7", false: "xl network-list 7"}[name == "disk"]
				before := h.shows[list]
				h.do = func(_ context.Context, cmd dom0.Cmd, argv string) error {
					if argv == c.want[0] {
						h.shows[list] = c.after
						return fail(cmd, read(t, "said/"+c.said+".err"))
					}
					if !stays {
						h.shows[list] = before
					}
					return fail(cmd, "whatever the exit code is\n")
				}
				err := c.attach(h.driver(""), h)
				require.ErrorIs(t, err, c.means)
				if stays {
					require.ErrorIs(t, err, xen.ErrDirty)
					assert.Equal(t, c.want, h.said[:2])
				} else {
					require.NotErrorIs(t, err, xen.ErrDirty)
					assert.Equal(t, c.want, h.said)
				}
			}
		})
	}
}

// A paused guest does not let go of what was half attached: it is taken.
func TestResidueOfAPausedGuest(t *testing.T) {
	h, id := one(t)
	h.domains[0].letters = "--p---"
	h.do = func(_ context.Context, cmd dom0.Cmd, argv string) error {
		switch argv {
		case attachDisk:
			h.shows["xl block-list 7"] = blocks(51712, 51728)
			return fail(cmd, read(t, "said/block-attach-busy.err"))
		case "xl block-detach -f 7 xvdb":
			h.shows["xl block-list 7"] = blocks(51712)
		}
		return fail(cmd, "libxl: error: libxl_device.c:1:f: Domain 7:timed out while waiting for /local/domain/0/backend/vbd/7/51728 to be removed\n")
	}
	err := h.driver("").AttachDisk(t.Context(), id, data)
	require.ErrorIs(t, err, xen.ErrBusy)
	require.NotErrorIs(t, err, xen.ErrDirty)
	assert.Equal(t, []string{attachDisk, detachDisk, "xl block-detach -f 7 xvdb"}, h.said)
}

// The rollback does not stop when the caller has given up.
func TestCancelledAttachIsRolledBack(t *testing.T) {
	h, id := one(t)
	ctx, cancel := context.WithCancel(t.Context())
	h.do = func(ctx context.Context, cmd dom0.Cmd, argv string) error {
		if argv == attachDisk {
			h.shows["xl block-list 7"] = blocks(51712, 51728)
			cancel()
			return &dom0.Error{Args: cmd.Args, ExitCode: -1, Err: context.Canceled}
		}
		require.NoError(t, ctx.Err())
		h.shows["xl block-list 7"] = blocks(51712)
		return nil
	}
	require.ErrorIs(t, h.driver("").AttachDisk(ctx, id, data), context.Canceled)
	assert.Equal(t, []string{attachDisk, detachDisk}, h.said)
}

// What somebody else's failed attach left is not ours to take away.
func TestAttachWhereSomethingIs(t *testing.T) {
	h, id := one(t)
	h.do = func(_ context.Context, cmd dom0.Cmd, _ string) error {
		return fail(cmd, read(t, "said/block-attach-exists.err"))
	}
	h.shows["xl block-list 7"] = blocks(51712, 51728)
	require.ErrorIs(t, h.driver("").AttachDisk(t.Context(), id, data), fs.ErrExist)
	assert.Equal(t, []string{attachDisk}, h.said)
}

func TestAttachThatLies(t *testing.T) {
	h, id := one(t)
	h.do = func(context.Context, dom0.Cmd, string) error { return nil }
	require.ErrorContains(t, h.driver("").AttachDisk(t.Context(), id, data), "it is not there")
	require.ErrorContains(t, h.driver("").AttachVif(t.Context(), id, more), "it is not there")
}

// Xen itself takes one volume twice in one domain.
func TestOwnDiskIsBusy(t *testing.T) {
	h, id := one(t)
	require.ErrorIs(t, h.driver("").AttachDisk(t.Context(), id, xen.Disk{Dev: "xvdb", Path: "/dev/guests/web1"}), xen.ErrBusy)
	require.ErrorIs(t, h.driver("").AttachDisk(t.Context(), id, xen.Disk{Dev: "xvda", Path: "/dev/guests/data"}), fs.ErrExist)
	assert.Empty(t, h.said)
	assert.True(t, verb.SameDevice("/dev/null", "/dev/null"))
	assert.False(t, verb.SameDevice("/dev/null", "/dev/zero"), "not block devices")
}

func TestDetach(t *testing.T) {
	for name, c := range map[string]struct {
		goes  bool
		exit  bool
		means error
	}{
		"goes":                    {true, true, nil},
		"goes, and xl says no":    {true, false, nil},
		"stays":                   {false, false, xen.ErrBusy},
		"stays, and xl says fine": {false, true, xen.ErrBusy},
	} {
		t.Run(name, func(t *testing.T) {
			h, id := one(t)
			h.shows["xl block-list 7"], h.shows["xl network-list 7"] = blocks(51712, 51728), nics("00:16:3e:00:00:01", "00:16:3e:00:00:02")
			h.do = func(_ context.Context, cmd dom0.Cmd, _ string) error {
				if c.goes {
					h.shows["xl block-list 7"], h.shows["xl network-list 7"] = blocks(51712), nics("00:16:3e:00:00:01")
				}
				if !c.exit {
					return fail(cmd, read(t, "said/network-detach-residue.err"))
				}
				return nil
			}
			errs := []error{h.driver("").DetachDisk(t.Context(), id, "xvdb")}
			h.shows["xl network-list 7"] = nics("00:16:3e:00:00:02")
			errs = append(errs, h.driver("").DetachVif(t.Context(), id, more.MAC))
			assert.Equal(t, []string{detachDisk, detachVif}, h.said)
			for _, err := range errs {
				if c.means == nil {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, c.means)
				}
			}
			require.ErrorIs(t, h.driver("").DetachDisk(t.Context(), id, "xvdc"), fs.ErrNotExist)
			require.ErrorIs(t, h.driver("").DetachVif(t.Context(), id, xen.MAC{2}), fs.ErrNotExist)
			assert.Len(t, h.said, 2)
		})
	}
}
