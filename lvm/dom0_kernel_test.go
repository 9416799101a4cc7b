package lvm_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen/dom0"
)

// A process is killed while it reads a pool's metadata: the next one releases
// what it left. What somebody else reads is left alone.
func TestDom0KilledInChanged(t *testing.T) {
	d, _ := realDisk(t)
	state := t.TempDir()
	c := lvm.New(dom0.Local{}, &lvm.Options{Flags: d.flags, StateDir: state})
	web1 := lvm.ID{Group: d.group, Name: "web1"}
	_, err := c.Create(t.Context(), lvm.Spec{ID: web1, Size: 2 << 20, Pool: "pool"})
	require.NoError(t, err)
	snap, err := c.Snapshot(t.Context(), web1, "web1-snap", nil)
	require.NoError(t, err)
	held := func() bool {
		return strings.Fields(string(d.run(t, "dmsetup", "status", d.group+"-pool-tpool")))[6] != "-"
	}
	crash{Flags: d.flags, StateDir: state, Changed: snap.ID, Before: "--thin1"}.run(t)
	require.True(t, held(), "the test is worth something")
	extents, err := c.Changed(t.Context(), snap.ID)
	require.NoError(t, err)
	assert.Empty(t, extents)
	assert.False(t, held())

	d.run(t, "dmsetup", "message", d.group+"-pool-tpool", "0", "reserve_metadata_snap")
	_, err = c.Changed(t.Context(), snap.ID)
	assert.ErrorIs(t, err, lvm.ErrBusy)
	assert.True(t, held(), "it is not ours")
	d.run(t, "dmsetup", "message", d.group+"-pool-tpool", "0", "release_metadata_snap")
	_, err = c.Changed(t.Context(), snap.ID)
	assert.NoError(t, err)
}

// lock is LVM's lock of a group, as another lvm that hangs holds it.
func lock(t testing.TB, group string) (unlock func()) {
	require.NoError(t, os.MkdirAll("/run/lock/lvm", 0o755))
	f, err := os.OpenFile(filepath.Join("/run/lock/lvm", "V_"+group), os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	require.NoError(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	return func() { require.NoError(t, f.Close()) }
}

// Who watches how full something is does not wait for LVM.
func TestDom0FillWithoutLock(t *testing.T) {
	d, c := realDisk(t)
	web1 := lvm.ID{Group: d.group, Name: "web1"}
	_, err := c.Create(t.Context(), lvm.Spec{ID: web1, Size: 2 << 20})
	require.NoError(t, err)
	snap, err := c.Snapshot(t.Context(), web1, "web1-snap", nil)
	require.NoError(t, err)
	unlock := lock(t, d.group)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = c.Volumes(ctx, d.group)
	assert.ErrorIs(t, err, context.DeadlineExceeded, "the test is worth something")
	for _, id := range []lvm.ID{snap.ID, {Group: d.group, Name: "pool"}} {
		fill, err := c.Fill(t.Context(), id)
		assert.NoError(t, err)
		assert.Positive(t, fill.Size)
	}
	unlock()
}

// lossy is a disk between a group and its loop device that can be told to lose
// what is written, and to say that it was written all the same.
type lossy struct {
	*disk
	sectors string
}

func newLossy(t testing.TB) lossy {
	tier.Require(t, tier.Dom0)
	const name = "xhlossy"
	l := lossy{}
	l.disk = newDiskOn(t, tier.Dom0, "xhlose", 64<<20, func(loop string) string {
		l.sectors = strings.TrimSpace(string((&disk{}).run(t, "blockdev", "--getsz", loop)))
		(&disk{}).run(t, "dmsetup", "create", name, "--table", "0 "+l.sectors+" linear "+loop+" 0")
		t.Cleanup(func() { (&disk{}).run(t, "dmsetup", "remove", "--retry", name) })
		return "/dev/mapper/" + name
	})
	t.Cleanup(func() { l.lvm(t, "vgremove", "-y", "-ff", "-q", l.group) })
	return l
}

// while loses all writes while do runs.
func (l lossy) while(t testing.TB, do func()) {
	t.Helper()
	l.table(t, "0 "+l.sectors+" flakey "+l.loop+" 0 0 1 1 drop_writes")
	defer l.table(t, "0 "+l.sectors+" linear "+l.loop+" 0")
	do()
}

func (l lossy) table(t testing.TB, table string) {
	t.Helper()
	l.run(t, "dmsetup", "suspend", "--nolockfs", "xhlossy")
	l.run(t, "dmsetup", "load", "xhlossy", "--table", table)
	l.run(t, "dmsetup", "resume", "xhlossy")
}

// A disk that loses writes makes LVM report changes that nobody finds again:
// each verb notices, and nothing has changed once the disk is sound.
func TestDom0LostWrites(t *testing.T) {
	l := newLossy(t)
	client := lvm.New(dom0.Local{}, &lvm.Options{Flags: l.flags, StateDir: t.TempDir()})
	id := func(name string) lvm.ID { return lvm.ID{Group: l.group, Name: name} }
	fill(t, client, lvm.Spec{ID: id("former"), Size: 8 << 20})
	for _, name := range []string{"web1", "web2"} {
		_, err := client.Create(t.Context(), lvm.Spec{ID: id(name), Size: 2 << 20, Unwiped: true})
		require.NoError(t, err)
	}
	require.NoError(t, client.Wipe(t.Context(), id("web2")))
	before, err := client.Volumes(t.Context(), l.group)
	require.NoError(t, err)
	ctx, succeeded := t.Context(), ", though LVM reported success"
	for _, c := range []struct {
		verb, want string
		do         func() error
	}{
		{"create", "it is not there", func() error {
			_, err := client.Create(ctx, lvm.Spec{ID: id("web3"), Size: 2 << 20})
			return err
		}},
		{"wipe", "do not read as zeros", func() error { return client.Wipe(ctx, id("web1")) }},
		{"tag", "it has no tag a" + succeeded, func() error { return client.Tag(ctx, id("web1"), []string{"a"}, nil) }},
		{"skip", "did not change" + succeeded, func() error { return client.SetSkip(ctx, id("web2"), false) }},
		{"rename", "it has its old name" + succeeded, func() error { _, err := client.Rename(ctx, id("web1"), "web4"); return err }},
		{"grow", "2097152 bytes and not 4194304" + succeeded, func() error { _, err := client.Grow(ctx, id("web1"), 4<<20); return err }},
		{"grow wiped", "it is not there", func() error { _, err := client.Grow(ctx, id("web2"), 4<<20); return err }},
		{"remove", "it is still there" + succeeded, func() error { return client.Remove(ctx, id("web2")) }},
	} {
		l.while(t, func() { assert.ErrorContains(t, c.do(), c.want, c.verb) })
		if c.verb == "wipe" { // it is left on, for the next Create to finish
			l.lvm(t, "lvchange", "-an", l.group+"/web1")
		}
		now, err := client.Volumes(ctx, l.group)
		require.NoError(t, err)
		assert.Equal(t, before, now, c.verb)
	}
}
