package lvm_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen/dom0"
)

// Wherever Grow is killed, the volume is as it was, no boot script turns on what
// it was to grow by, and the next Grow does it.
func TestDom0CrashInGrow(t *testing.T) {
	d, client := realDisk(t)
	spec := lvm.Spec{ID: lvm.ID{Group: d.group, Name: "web1"}, Size: 2 << 20}
	for _, c := range []struct {
		name string
		at   crash
	}{
		{"before it is wiped", crash{Before: "-K"}},
		{"half-way", crash{Wiped: true}},
		{"before it is given back", crash{Before: "lvremove"}},
		{"before it is added", crash{Before: "lvextend"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fill(t, client, lvm.Spec{ID: spec.ID, Size: 30 << 20})
			_, err := client.Create(t.Context(), spec)
			require.NoError(t, err)
			c.at.Flags, c.at.Spec, c.at.Grow = d.flags, spec, 20<<20
			c.at.run(t)

			d.boot(t)
			volumes, err := client.Volumes(t.Context(), d.group)
			require.NoError(t, err)
			for _, v := range volumes {
				assert.Equal(t, v.Name == "web1" || v.Kind == lvm.Pool, v.Active, v.Name)
				assert.False(t, v.Name == "web1" && v.Size != spec.Size, "it has %d bytes", v.Size)
			}
			v, err := client.Grow(t.Context(), spec.ID, 20<<20)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(make([]byte, v.Size), read(t, client, spec.ID)), "it reads as zeros")
			volumes, err = client.Volumes(t.Context(), d.group)
			require.NoError(t, err)
			assert.Len(t, volumes, 2, "the pool and web1")
			require.NoError(t, client.Remove(t.Context(), spec.ID))
		})
	}
}

// thief takes what a volume is to grow by in the moment in which it is free.
type thief struct {
	dom0.Runner
	t testing.TB
	d *disk
}

func (r thief) Run(ctx context.Context, cmd dom0.Cmd) error {
	if at := slices.Index(cmd.Args, "lvextend"); at >= 0 {
		ranges := cmd.Args[len(cmd.Args)-1]
		r.d.lvm(r.t, "lvcreate", "-y", "-an", "-Wn", "-Zn", "-l", "1", "-n", "stolen", r.d.group, ranges)
	}
	return r.Runner.Run(ctx, cmd)
}

func TestDom0GrowIsRobbed(t *testing.T) {
	d, client := realDisk(t)
	id := lvm.ID{Group: d.group, Name: "web1"}
	before, err := client.Create(t.Context(), lvm.Spec{ID: id, Size: 2 << 20})
	require.NoError(t, err)
	_, err = lvm.New(thief{dom0.Local{}, t, d}, &lvm.Options{Flags: d.flags}).Grow(t.Context(), id, 4<<20)
	assert.ErrorContains(t, err, "2097152 bytes and not 4194304")
	now, err := client.Volume(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, before, now)
	_, err = client.Grow(t.Context(), id, 4<<20)
	assert.NoError(t, err)
}
