package host_test

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/domu"
	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/events"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/xl"
)

// TestSupervisor takes xl's own process from a guest, as a hot backup does, and
// lets the guest reboot and power off.
func TestSupervisor(t *testing.T) {
	tier.Require(t, tier.Dom0)
	ctx := t.Context()
	h := host.New(host.Config{
		Name: "curacao", Domains: xl.New(dom0.Local{}, nil), Volumes: lvm.New(dom0.Local{}, nil), Network: network.New(nil), StateDir: t.TempDir(),
	})
	g := host.Guest{
		UUID: uuid.New(), Name: "kept", Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, TSCMode: "native",
		Kernel: xenlab.GuestKernel, Ramdisk: xenlab.GuestRamdisk, Cmdline: xenlab.Guest{Name: "kept", IP: "192.168.0.91/24"}.Args(),
		Disks: []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: "kept"}, Size: 16 << 20}},
		Nics:  []host.Nic{{Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 9, 1}, Addresses: []netip.Addr{netip.MustParseAddr("192.168.0.91")}}},
	}
	t.Cleanup(func() { assert.NoError(t, h.Terminate(context.Background(), g.UUID)) })
	_, err := h.Provision(ctx, g, nil)
	require.NoError(t, err)
	domu.Booted(t, xen.Spec{Cmdline: g.Cmdline})

	supervised, stop := context.WithCancel(ctx)
	over := make(chan error)
	bell := events.Xenstore(nil)
	go func() { over <- h.Supervise(supervised, bell, &host.SuperviseOptions{Patience: 15 * time.Second}) }()
	t.Cleanup(func() {
		stop()
		assert.ErrorIs(t, <-over, context.Canceled)
		assert.NoError(t, bell.Close())
	})

	first := loseMonitor(t, h, g.UUID)
	domu.Command(t, "xl", "reboot", strconv.Itoa(first.ID))
	domain(t, h, g.UUID, func(d xen.Domain) bool { return d.State == xen.Stopped && d.Reason == xen.Reboot && d.ID == first.ID })
	domain(t, h, g.UUID, func(d xen.Domain) bool { return d.State == xen.Running && d.ID > first.ID })
	domu.Booted(t, xen.Spec{Cmdline: g.Cmdline})

	second := loseMonitor(t, h, g.UUID)
	domu.Command(t, "xl", "shutdown", strconv.Itoa(second.ID))
	domain(t, h, g.UUID, func(d xen.Domain) bool { return d.State == xen.Stopped && d.Reason == xen.Poweroff })
	domain(t, h, g.UUID, func(d xen.Domain) bool { return d.ID == 0 })
	time.Sleep(5 * time.Second)
	domain(t, h, g.UUID, func(d xen.Domain) bool { return d.ID == 0 })
}

// loseMonitor saves the guest and lets it run on: before Xen 4.20 xl's process
// ends with that.
func loseMonitor(t *testing.T, h *host.Host, id uuid.UUID) xen.Domain {
	t.Helper()
	d, err := h.Domains().Lookup(t.Context(), id)
	require.NoError(t, err)
	domu.Command(t, "xl", "save", "-c", strconv.Itoa(d.ID), "/dev/null")
	require.Eventually(t, func() bool {
		_, err := dom0.Output(t.Context(), dom0.Local{}, "pgrep", "-f", id.String())
		var failed *dom0.Error
		return errors.As(err, &failed) && failed.ExitCode == 1
	}, time.Minute, time.Second, "its monitor ends")
	return domain(t, h, id, func(now xen.Domain) bool { return now.State == xen.Running && now.ID == d.ID })
}

// domain waits until the guest's domain is as it should; the zero Domain is none.
func domain(t *testing.T, h *host.Host, id uuid.UUID, is func(xen.Domain) bool) (d xen.Domain) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		if d, err = h.Domains().Lookup(t.Context(), id); err != nil {
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
		return is(d)
	}, 3*time.Minute, 200*time.Millisecond, "the last that was seen: %+v", &d)
	return d
}
