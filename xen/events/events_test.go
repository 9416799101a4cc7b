package events_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/events"
	"github.com/xenhost/xenhost/xen/xenstore"
	"github.com/xenhost/xenhost/xen/xenstore/xenstoretest"
	"github.com/xenhost/xenhost/xen/xentest"
)

func spec() xen.Spec {
	return xen.Spec{
		Name: "web1", UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz",
		Disks: []xen.Disk{{Dev: "xvda", Path: "/dev/guests/web1"}},
	}
}

// watching runs Watch and returns what waits for the next event.
func watching(t *testing.T, lister xen.Lister, bell events.Bell) (next func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan events.Event, 100)
	over := make(chan error)
	go func() {
		over <- events.Watch(ctx, lister, bell, &events.Options{Settle: time.Millisecond}, func(e events.Event) { heard <- e })
	}()
	t.Cleanup(func() {
		cancel()
		assert.ErrorIs(t, <-over, context.Canceled)
	})
	return func() string {
		select {
		case e := <-heard:
			return e.String()
		case <-time.After(10 * time.Second):
			return "nothing"
		}
	}
}

func TestWatch(t *testing.T) {
	host, guest, other, ctx := xentest.New(&xentest.Options{AnyDisk: true}), spec(), spec(), t.Context()
	other.Name, other.Disks = "web2", nil
	_, err := host.Create(ctx, other, nil)
	require.NoError(t, err)
	next := watching(t, host, events.Every(time.Millisecond))
	assert.Equal(t, "web2: found, domid 1", next())

	_, err = host.Create(ctx, guest, nil)
	require.NoError(t, err)
	assert.Equal(t, "web1: created, domid 2", next())
	host.Fail("list", errors.New("xl is tired")) // nothing is made of a list that is not there

	require.NoError(t, host.LoseMonitor(guest.UUID))
	require.NoError(t, host.GuestReboot(guest.UUID))
	assert.Equal(t, "web1: shut down, domid 2 (reboot)", next())
	require.NoError(t, host.Destroy(ctx, guest.UUID))
	assert.Equal(t, "web1: gone, domid 2 (reboot)", next())
	_, err = host.Create(ctx, guest, nil)
	require.NoError(t, err)
	assert.Equal(t, "web1: rebooted, domid 2 to 3 (reboot)", next())

	require.NoError(t, host.LoseMonitor(guest.UUID))
	require.NoError(t, host.GuestCrash(guest.UUID))
	assert.Equal(t, "web1: crashed, domid 3 (crash)", next())
	require.NoError(t, host.Destroy(ctx, guest.UUID))
	assert.Equal(t, "web1: gone, domid 3 (crash)", next())

	require.NoError(t, host.Destroy(ctx, other.UUID))
	assert.Equal(t, "web2: gone, domid 1", next(), "destroyed: no reason")
}

func TestXenstoreBell(t *testing.T) {
	server := xenstoretest.New(nil)
	reachable := true
	var mu sync.Mutex
	bell := events.Xenstore(&events.XenstoreOptions{Retry: time.Millisecond, Dial: func(context.Context) (*xenstore.Client, error) {
		mu.Lock()
		defer mu.Unlock()
		if !reachable {
			return nil, errors.New("not yet")
		}
		return server.Dial(nil), nil
	}})
	rings := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := bell.Wait(ctx)
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		return err == nil
	}
	silence := func() {
		for rings() {
		}
	}
	assert.True(t, rings(), "it is new: look")
	silence()
	for name, happens := range map[string]func(){
		"introduced": func() { server.Introduce(7) }, "shut down": server.Shutdown, "released": func() { server.Release(7) },
		"xenstored restarted": server.Restart,
	} {
		happens()
		assert.True(t, rings(), name)
		silence()
	}
	assert.Equal(t, 2, server.Watches())

	mu.Lock()
	reachable = false
	mu.Unlock()
	server.Restart()
	assert.False(t, rings(), "it waits for xenstored")
	mu.Lock()
	reachable = true
	mu.Unlock()
	assert.True(t, rings(), "something may have been missed")
	require.NoError(t, bell.Close())
	require.NoError(t, bell.Close(), "again")
	assert.Eventually(t, func() bool { return server.Watches() == 0 }, time.Second, time.Millisecond)
}

// By default the bell finds xenstored by itself.
func TestXenstoreBellDials(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	require.NoError(t, xenstoretest.New(nil).Listen(t.Context(), path))
	t.Setenv("XENSTORED_PATH", path)
	bell := events.Xenstore(nil)
	defer bell.Close()
	require.NoError(t, bell.Wait(t.Context()))
}
