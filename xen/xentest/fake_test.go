package xentest_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/xentest"
)

func guest(name string) xen.Spec {
	return xen.Spec{
		Name: name, UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1,
		Kernel: "/boot/vmlinuz", Ramdisk: "/boot/initrd", Cmdline: "root=/dev/xvda",
	}
}

func withDisk(t *testing.T, s xen.Spec) (xen.Spec, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(path, make([]byte, 4096), 0o600))
	s.Disks = []xen.Disk{{Dev: "xvda", Path: path}}
	return s, path
}

func TestRebootGivesANewDomid(t *testing.T) {
	ctx := context.Background()
	f := xentest.New(nil)
	spec := guest("web1")
	first, err := f.Create(ctx, spec, nil)
	require.NoError(t, err)
	require.NoError(t, f.GuestReboot(spec.UUID))
	second, err := f.Lookup(ctx, spec.UUID)
	require.NoError(t, err)
	assert.Greater(t, second.ID, first.ID)
	assert.Equal(t, xen.Running, second.State)
}

func TestGuestEventsFollowTheSpec(t *testing.T) {
	ctx := context.Background()
	for _, tc := range []struct {
		name   string
		change func(*xen.Spec)
		event  func(*xentest.Fake, uuid.UUID) error
		want   xen.State // "" is gone
		reason xen.Reason
	}{
		{"poweroff", func(*xen.Spec) {}, (*xentest.Fake).GuestPoweroff, "", ""},
		{"reboot", func(*xen.Spec) {}, (*xentest.Fake).GuestReboot, xen.Running, ""},
		{"reboot destroy", func(s *xen.Spec) { s.OnReboot = "destroy" }, (*xentest.Fake).GuestReboot, "", ""},
		{"reboot preserve", func(s *xen.Spec) { s.OnReboot = "preserve" }, (*xentest.Fake).GuestReboot, xen.Stopped, xen.Reboot},
		{"crash", func(*xen.Spec) {}, (*xentest.Fake).GuestCrash, "", ""},
		{"crash restart", func(s *xen.Spec) { s.OnCrash = "restart" }, (*xentest.Fake).GuestCrash, xen.Running, ""},
		{"crash preserve", func(s *xen.Spec) { s.OnCrash = "preserve" }, (*xentest.Fake).GuestCrash, xen.Crashed, xen.Crash},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := xentest.New(nil)
			spec := guest("web1")
			tc.change(&spec)
			_, err := f.Create(ctx, spec, nil)
			require.NoError(t, err)
			require.NoError(t, tc.event(f, spec.UUID))
			d, err := f.Lookup(ctx, spec.UUID)
			if tc.want == "" {
				require.ErrorIs(t, err, fs.ErrNotExist)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, d.State)
			assert.Equal(t, tc.reason, d.Reason)
			if tc.want != xen.Running {
				_, err = f.Shutdown(ctx, spec.UUID, nil)
				require.NoError(t, err, "what is preserved can be put away")
			}
		})
	}
}

func TestFaults(t *testing.T) {
	ctx := context.Background()
	f := xentest.New(nil)
	spec := guest("web1")
	broken := errors.New("broken")

	f.Fail("create", broken)
	_, err := f.Create(ctx, spec, nil)
	require.ErrorIs(t, err, broken)
	_, err = f.Lookup(ctx, spec.UUID)
	require.ErrorIs(t, err, fs.ErrNotExist, "nothing was done")

	f.FailAfter("create", broken)
	_, err = f.Create(ctx, spec, nil)
	require.ErrorIs(t, err, broken)
	_, err = f.Lookup(ctx, spec.UUID)
	require.NoError(t, err, "it was done")

	f.FailAfter("destroy", broken)
	require.ErrorIs(t, f.Destroy(ctx, spec.UUID), broken)
	require.ErrorIs(t, f.Destroy(ctx, spec.UUID), fs.ErrNotExist)
}

func TestPowerFailure(t *testing.T) {
	ctx := context.Background()
	f := xentest.New(nil)
	spec := guest("web1")
	_, err := f.Create(ctx, spec, nil)
	require.NoError(t, err)
	f.PowerOff()
	_, err = f.List(ctx)
	require.ErrorIs(t, err, xentest.ErrOff)
	f.PowerOn()
	list, err := f.List(ctx)
	require.NoError(t, err)
	assert.Empty(t, list)
	d, err := f.Create(ctx, spec, nil)
	require.NoError(t, err)
	assert.Equal(t, 1, d.ID)
}

// writer counts its steps in the first byte of xvda; after a poweroff request
// it writes 255, as a guest that syncs.
func writer(steps *atomic.Int64) xentest.Program {
	return func(ctx context.Context, g *xentest.Guest) {
		write := func(b byte) error {
			disk, err := os.OpenFile(g.Disk("xvda"), os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer disk.Close()
			_, err = disk.WriteAt([]byte{b}, 0)
			return err
		}
		for ctx.Err() == nil {
			if g.Step(ctx, func() error { steps.Add(1); return write(1) }) != nil {
				break
			}
		}
		_ = g.Step(context.Background(), func() error { return write(255) })
	}
}

func firstByte(t *testing.T, path string) byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data[0]
}

func TestProgramLivesAndEndsWithItsDomain(t *testing.T) {
	ctx := context.Background()
	var steps atomic.Int64
	f := xentest.New(&xentest.Options{Program: writer(&steps)})
	lives := func() bool {
		n := steps.Load()
		return assert.Eventually(t, func() bool { return steps.Load() > n }, 5*time.Second, time.Millisecond)
	}

	t.Run("shutdown is clean", func(t *testing.T) {
		spec, disk := withDisk(t, guest("web1"))
		_, err := f.Create(ctx, spec, nil)
		require.NoError(t, err)
		lives()
		how, err := f.Shutdown(ctx, spec.UUID, nil)
		require.NoError(t, err)
		assert.Equal(t, xen.Clean, how)
		assert.EqualValues(t, 255, firstByte(t, disk))
	})
	t.Run("destroy is not", func(t *testing.T) {
		spec, disk := withDisk(t, guest("web1"))
		_, err := f.Create(ctx, spec, nil)
		require.NoError(t, err)
		lives()
		require.NoError(t, f.Destroy(ctx, spec.UUID))
		assert.EqualValues(t, 1, firstByte(t, disk))
	})
	t.Run("nothing is written while paused", func(t *testing.T) {
		spec, _ := withDisk(t, guest("web1"))
		_, err := f.Create(ctx, spec, &xen.CreateOptions{Paused: true})
		require.NoError(t, err)
		before := steps.Load()
		require.NoError(t, f.Unpause(ctx, spec.UUID))
		lives()
		require.NoError(t, f.Pause(ctx, spec.UUID))
		paused := steps.Load()
		require.NoError(t, f.Pause(ctx, spec.UUID))
		assert.Greater(t, paused, before)
		assert.Equal(t, paused, steps.Load())
		require.NoError(t, f.Unpause(ctx, spec.UUID))
		lives()
		f.PowerOff()
		after := steps.Load()
		f.PowerOn()
		assert.Equal(t, after, steps.Load())
	})
	t.Run("reboot starts it again", func(t *testing.T) {
		spec, disk := withDisk(t, guest("web1"))
		_, err := f.Create(ctx, spec, nil)
		require.NoError(t, err)
		lives()
		require.NoError(t, f.GuestReboot(spec.UUID))
		lives()
		require.NoError(t, f.GuestCrash(spec.UUID))
		assert.EqualValues(t, 1, firstByte(t, disk))
	})
}

func TestShutdownOfADeafProgram(t *testing.T) {
	f := xentest.New(&xentest.Options{AnyDisk: true, Program: func(_ context.Context, g *xentest.Guest) {
		for g.Wait(context.Background()) == nil { // hears no poweroff
		}
	}})
	spec := guest("web1")
	_, err := f.Create(context.Background(), spec, nil)
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = f.Shutdown(ctx, spec.UUID, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = f.Lookup(context.Background(), spec.UUID)
	require.NoError(t, err, "a cancelled Shutdown leaves it running")

	how, err := f.Shutdown(context.Background(), spec.UUID, &xen.ShutdownOptions{Grace: 10 * time.Millisecond})
	require.NoError(t, err)
	assert.Equal(t, xen.Destroyed, how)
}
