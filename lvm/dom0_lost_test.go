package lvm_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen/dom0"
)

// recover has the kernel forget what LVM made of metadata that was lost, and
// turns on what there is.
func (l lossy) recover(t testing.TB) {
	t.Helper()
	var left []string
	for range 10 { // some hold others
		left = left[:0]
		for line := range strings.Lines(string(l.run(t, "dmsetup", "ls"))) {
			if name, _, _ := strings.Cut(line, "\t"); strings.HasPrefix(name, l.group+"-") {
				left = append(left, name)
				_ = exec.Command("dmsetup", "remove", name).Run() // it is looked at again
			}
		}
		if len(left) == 0 {
			break
		}
	}
	require.Empty(t, left)
	l.lvm(t, "vgchange", "-ay", l.group)
}

// TestDom0LostRooms: the verbs that make devices of what they wrote notice that
// it was lost, and the group is what it was once the disk is sound.
func TestDom0LostRooms(t *testing.T) {
	l := newLossy(t)
	client := lvm.New(dom0.Local{}, &lvm.Options{Flags: l.flags, StateDir: t.TempDir()})
	id := func(name string) lvm.ID { return lvm.ID{Group: l.group, Name: name} }
	ctx := t.Context()
	_, err := client.Create(ctx, lvm.Spec{ID: id("web1"), Size: 2 << 20})
	require.NoError(t, err)
	snap, err := client.Snapshot(ctx, id("web1"), "web1-snap", &lvm.SnapshotOptions{Size: 1 << 20})
	require.NoError(t, err)
	before, err := client.Volumes(ctx, l.group)
	require.NoError(t, err)
	room := func() int64 {
		fill, err := client.Fill(ctx, snap.ID)
		require.NoError(t, err)
		return fill.Size
	}
	had := room()
	for _, c := range []struct {
		verb string
		do   func() error
	}{
		{"snapshot", func() error { _, err := client.Snapshot(ctx, id("web1"), "web1-later", nil); return err }},
		{"create pool", func() error {
			_, err := client.CreatePool(ctx, lvm.PoolSpec{ID: id("pool2"), Size: 2 << 20})
			return err
		}},
		{"merge", func() error { _, err := client.Merge(ctx, snap.ID); return err }},
	} {
		l.while(t, func() {
			err := c.do()
			assert.ErrorContains(t, err, "lvm: "+c.verb+" "+l.group+"/")
			t.Logf("RESULT %v", err)
		})
		l.recover(t)
		now, err := client.Volumes(ctx, l.group)
		require.NoError(t, err)
		assert.Equal(t, before, now, c.verb)
		assert.Equal(t, had, room(), c.verb)
	}
	// Room that grew in the kernel alone is gone with the next activation.
	l.while(t, func() {
		_, err := client.GrowRoom(ctx, snap.ID, 2<<20)
		assert.ErrorContains(t, err, "though LVM reported success")
	})
	l.recover(t)
	assert.Equal(t, had, room())
}
