package events_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/domu"
	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/events"
	"github.com/xenhost/xenhost/xen/privcmd"
	"github.com/xenhost/xenhost/xen/stats"
	"github.com/xenhost/xenhost/xen/xl"
)

// TestEvents lives a guest's life on a real Xen host, while xl's own process
// watches the guest too, and reads its statistics meanwhile.
func TestEvents(t *testing.T) {
	tier.Require(t, tier.Dom0)
	xen0, err := privcmd.Open()
	require.NoError(t, err)
	defer xen0.Close()
	bell := events.Xenstore(nil)
	defer bell.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	heard := make(chan events.Event, 100)
	go func() { _ = events.Watch(ctx, xen0, bell, nil, func(e events.Event) { heard <- e }) }()
	next := func(kind events.Kind, reason xen.Reason) events.Event {
		t.Helper()
		select {
		case e := <-heard:
			t.Log(e)
			require.Equal(t, kind, e.Kind, e.String())
			require.Equal(t, reason, e.Reason, e.String())
			return e
		case <-time.After(3 * time.Minute):
			t.Fatalf("no event; %s was expected", kind)
			return events.Event{}
		}
	}

	disk := domu.Volume(t, "/dev/guests/events")
	guest := xen.Spec{
		Name: "events", UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, TSCMode: "native",
		Kernel: xenlab.GuestKernel, Ramdisk: xenlab.GuestRamdisk, Cmdline: xenlab.Guest{Name: "events", IP: "192.168.0.90/24"}.Args(),
		Disks: []xen.Disk{{Dev: "xvda", Path: disk}},
		Vifs:  []xen.Vif{{Name: "events.0", Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 9, 0}}},
	}
	driver := xl.New(dom0.Local{}, nil)
	t.Cleanup(func() { _ = driver.Destroy(context.Background(), guest.UUID) })

	_, err = driver.Create(t.Context(), guest, nil)
	require.NoError(t, err)
	first := next(events.Created, "")
	assert.Equal(t, guest.UUID, first.Domain.UUID)
	domu.Booted(t, guest)
	usage(t, xen0, guest)

	domu.Command(t, "xl", "reboot", strconv.Itoa(first.Domain.ID))
	next(events.Down, xen.Reboot)
	next(events.Gone, xen.Reboot)
	second := next(events.Rebooted, xen.Reboot)
	assert.Equal(t, first.Domain.ID, second.Was)
	domu.Booted(t, guest)

	how, err := driver.Shutdown(t.Context(), guest.UUID, &xen.ShutdownOptions{Grace: 2 * time.Minute})
	require.NoError(t, err)
	assert.Equal(t, xen.Clean, how)
	next(events.Down, xen.Poweroff)
	next(events.Gone, xen.Poweroff)

	// A kernel that finds nothing to run panics, and tells Xen so.
	guest.Cmdline = "console=hvc0 rdinit=/nope"
	_, err = driver.Create(t.Context(), guest, nil)
	require.NoError(t, err)
	next(events.Created, "")
	next(events.Crashed, xen.Crash)
	next(events.Gone, xen.Crash)
}

// usage: the guest writes records and has answered, so everything has grown.
func usage(t *testing.T, xen0 *privcmd.Hypervisor, guest xen.Spec) {
	t.Helper()
	read := func() stats.Domain {
		s, err := stats.Read(t.Context(), xen0, nil)
		require.NoError(t, err)
		require.Len(t, s.Domains, 1)
		return s.Domains[0]
	}
	first := read()
	t.Logf("%+v", first)
	assert.Equal(t, guest.UUID, first.UUID)
	assert.Equal(t, xen.Running, first.State)
	assert.InDelta(t, guest.Memory, first.Memory, 4<<20)
	require.Len(t, first.Vifs, 1)
	require.Len(t, first.Vbds, 1)
	assert.Equal(t, "events.0", first.Vifs[0].Name)
	assert.Equal(t, "xvda", first.Vbds[0].Dev())
	domu.Booted(t, guest)
	require.Eventually(t, func() bool {
		now := read()
		return now.CPUTime > first.CPUTime && now.Vifs[0].UploadBytes > first.Vifs[0].UploadBytes &&
			now.Vifs[0].DownloadBytes > first.Vifs[0].DownloadBytes && now.Vbds[0].WriteBytes > first.Vbds[0].WriteBytes
	}, time.Minute, 200*time.Millisecond, "counters grow")
}
