package lvm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/xen/dom0"
)

const secret = "the last owner's data"

// realDisk is a group with device-mapper under it, and a thin pool.
func realDisk(t testing.TB) (*disk, *lvm.Client) {
	tier.Require(t, tier.Dom0)
	d := newDisk(t, tier.Dom0, "xhdom0", 96<<20)
	t.Cleanup(func() { d.lvm(t, "vgremove", "-y", "-ff", "-q", d.group) })
	d.lvm(t, "lvcreate", "-y", "-q", "--type", "thin-pool", "-l", "8", "-n", "pool", d.group)
	return d, lvm.New(dom0.Local{}, &lvm.Options{Flags: d.flags, StateDir: t.TempDir()})
}

// boot turns the group off, and on as boot scripts do.
func (d *disk) boot(t testing.TB) {
	t.Helper()
	d.lvm(t, "vgchange", "-an", d.group)
	d.lvm(t, "vgchange", "-ay", d.group)
}

func (d *disk) harness(c *lvm.Client) lvmtest.Harness {
	return lvmtest.Harness{
		Manager: c, Group: d.group, Pool: "pool", Boot: d.boot,
		Clear: func(t testing.TB) {
			t.Helper()
			d.lvm(t, "lvremove", "-y", "--select", "lv_name!=pool", d.group)
		},
		Hold: func(t testing.TB, v lvm.Volume) func() {
			f, err := os.OpenFile(v.Path, os.O_RDWR, 0)
			require.NoError(t, err)
			return func() { require.NoError(t, f.Close()) }
		},
		Discard: discard,
	}
}

func discard(t testing.TB, v lvm.Volume, offset, length int64) {
	t.Helper()
	f, err := os.OpenFile(v.Path, os.O_RDWR, 0)
	require.NoError(t, err)
	span := [2]uint64{uint64(offset), uint64(length)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKDISCARD, uintptr(unsafe.Pointer(&span)))
	require.Zero(t, errno)
	require.NoError(t, f.Close())
}

func TestDom0Metadata(t *testing.T) {
	d, c := realDisk(t)
	lvmtest.TestMetadata(t, d.harness(c))
}

func TestDom0Content(t *testing.T) {
	d, c := realDisk(t)
	lvmtest.TestContent(t, d.harness(c))
}

// Of two that create the same volume at once, the second is refused while the
// first wipes, and so can never zero what the first one's domain wrote.
func TestDom0TwoWipers(t *testing.T) {
	d, c := realDisk(t)
	spec := lvm.Spec{ID: lvm.ID{Group: d.group, Name: "web1"}, Size: 2 << 20}
	asked := 0
	first := lvm.New(dom0.Local{}, &lvm.Options{Flags: d.flags, Wiped: func(id lvm.ID, done, size int64) {
		asked++
		_, err := c.Create(t.Context(), spec)
		assert.ErrorIs(t, err, lvm.ErrBusy)
		assert.ErrorIs(t, c.Wipe(t.Context(), id), lvm.ErrBusy)
		assert.ErrorIs(t, c.Remove(t.Context(), id), lvm.ErrBusy)
		assert.Equal(t, size, done)
	}})
	v, err := first.Create(t.Context(), spec)
	require.NoError(t, err)
	assert.True(t, v.Active)
	assert.Equal(t, 1, asked)
}

// crash is where a Create, Grow or Changed, in a process of its own, is to be
// killed.
type crash struct {
	Flags    []string
	StateDir string
	Spec     lvm.Spec
	Changed  lvm.ID // "" is Create of Spec
	Grow     int64  // 0 is Create; else Spec.ID grows to so many bytes
	Before   string // the first command that has this argument
	Wiped    bool   // after the first step of zeroing
}

const crashEnv = "XENHOST_TEST_CRASH"

// TestMain is that process, if the test asked for it.
func TestMain(m *testing.M) {
	var c crash
	if text := os.Getenv(crashEnv); text == "" {
		os.Exit(m.Run())
	} else if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	opts := &lvm.Options{Flags: c.Flags, StateDir: c.StateDir}
	if c.Wiped {
		opts.Wiped = func(lvm.ID, int64, int64) { die() }
	}
	client := lvm.New(dying{dom0.Local{}, c.Before}, opts)
	var err error
	switch ctx := context.Background(); {
	case c.Changed.Name != "":
		_, err = client.Changed(ctx, c.Changed)
	case c.Grow != 0:
		_, err = client.Grow(ctx, c.Spec.ID, c.Grow)
	default:
		_, err = client.Create(ctx, c.Spec)
	}
	panic(err) // it was to be killed
}

// run kills it there.
func (c crash) run(t testing.TB) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(c)
	require.NoError(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), crashEnv+"="+string(text))
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), "%s", out)
}

func die() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }

type dying struct {
	dom0.Runner
	before string
}

func (d dying) Run(ctx context.Context, cmd dom0.Cmd) error {
	if d.before != "" && slices.Contains(cmd.Args, d.before) {
		die()
	}
	return d.Runner.Run(ctx, cmd)
}

// Wherever Create is killed, no boot script turns the volume on, nobody gets it
// from us, and the next Create finishes it.
func TestDom0CrashInWipe(t *testing.T) {
	d, client := realDisk(t)
	spec := lvm.Spec{ID: lvm.ID{Group: d.group, Name: "web1"}, Size: 40 << 20}
	for _, c := range []struct {
		name string
		at   crash
	}{
		{"before it is active", crash{Before: "-K"}},
		{"half-way", crash{Wiped: true}},
		{"before the mark is gone", crash{Before: "--deltag"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.at.Flags, c.at.Spec = d.flags, spec
			crashed(t, d, client, c.at)
		})
	}
}

func crashed(t *testing.T, d *disk, c *lvm.Client, at crash) {
	id := at.Spec.ID
	fill(t, c, at.Spec)
	at.run(t)

	d.boot(t)
	v, err := c.Volume(t.Context(), id)
	require.NoError(t, err)
	assert.True(t, v.Unwiped())
	assert.False(t, v.Active)
	assert.ErrorIs(t, c.Activate(t.Context(), id), lvm.ErrUnwiped)
	if at.Wiped {
		d.lvm(t, "lvchange", "-ay", "-K", id.String())
		data, err := os.ReadFile(v.Path)
		require.NoError(t, err)
		assert.False(t, bytes.Contains(data[:16<<20], []byte(secret)))
		assert.True(t, bytes.Contains(data, []byte(secret)), "the test is worth something")
	}
	_, err = c.Create(t.Context(), at.Spec)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(make([]byte, v.Size), read(t, c, id)), "it reads as zeros")
	require.NoError(t, c.Remove(t.Context(), id))
}

// fill leaves secrets where the next volume will be.
func fill(t testing.TB, c *lvm.Client, spec lvm.Spec) {
	t.Helper()
	_, err := c.Create(t.Context(), spec)
	require.NoError(t, err)
	dev, err := c.Open(t.Context(), spec.ID)
	require.NoError(t, err)
	_, err = dev.WriteAt(bytes.Repeat([]byte(secret), int(dev.Size())/len(secret)), 0)
	require.NoError(t, err)
	require.NoError(t, dev.Sync())
	require.NoError(t, dev.Close())
	require.NoError(t, c.Remove(t.Context(), spec.ID))
}

func read(t testing.TB, c *lvm.Client, id lvm.ID) []byte {
	t.Helper()
	dev, err := c.Open(t.Context(), id)
	require.NoError(t, err)
	data, err := io.ReadAll(io.NewSectionReader(dev, 0, dev.Size()))
	require.NoError(t, err)
	require.NoError(t, dev.Close())
	return data
}
