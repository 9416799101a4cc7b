package blockcopy_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/dom0"
)

const volumeSize = 16 << 20

// volumes makes real volumes in the dom0 of a lab host.
type volumes struct {
	t *testing.T
	c *lvm.Client
}

func (v *volumes) make(name, pool string) lvm.Volume {
	made, err := v.c.Create(v.t.Context(), lvm.Spec{ID: lvm.ID{Group: "guests", Name: name}, Size: volumeSize, Pool: pool})
	require.NoError(v.t, err)
	v.t.Cleanup(func() {
		ctx := context.Background()
		assert.NoError(v.t, v.c.Deactivate(ctx, made.ID))
		assert.NoError(v.t, v.c.Remove(ctx, made.ID))
	})
	return made
}

func (v *volumes) source(path string) *blockcopy.File {
	f, err := blockcopy.OpenSource(path)
	require.NoError(v.t, err)
	v.t.Cleanup(func() { f.Close() })
	return f
}

// write puts noise at offsets, past the page cache.
func (v *volumes) write(path string, length int, offsets ...int64) {
	f, _, err := blockcopy.OpenTarget(path, volumeSize)
	require.NoError(v.t, err)
	tr := blockcopy.NewTransfer(volumeSize)
	noise := newDisk(volumeSize)
	var list []lvm.Extent
	for _, at := range offsets {
		_, _ = rand.NewChaCha8([32]byte{byte(at >> 12), byte(at >> 20)}).Read(noise.data[at : at+int64(length)])
		list = append(list, lvm.Extent{Offset: at, Length: int64(length)})
	}
	s, _ := stream(v.t, noise, &blockcopy.SendOptions{Changes: blockcopy.Extents(list)}, tr)
	_, err = blockcopy.Receive(v.t.Context(), strings.NewReader(string(s)), f, tr, nil)
	require.NoError(v.t, err)
	require.NoError(v.t, f.Close())
}

// equal compares byte by byte.
func (v *volumes) equal(a, b string) {
	x, y := make([]byte, volumeSize), make([]byte, volumeSize)
	for path, p := range map[string][]byte{a: x, b: y} {
		d := v.source(path)
		_, err := d.ReadAt(p[:volumeSize/2], 0)
		require.NoError(v.t, err)
		_, err = d.ReadAt(p[volumeSize/2:], volumeSize/2)
		require.NoError(v.t, err)
	}
	require.True(v.t, string(x) == string(y), "%s and %s differ", a, b)
}

// TestDom0Volumes brings logical volumes up to date on the kernel that guests
// run on: by the table of a snapshot, by an index into a replica, and into a
// fresh thin volume.
func TestDom0Volumes(t *testing.T) {
	tier.Require(t, tier.Dom0)
	v := &volumes{t, lvm.New(dom0.Local{}, nil)}
	src, dst := v.make("bc-src", ""), v.make("bc-dst", "")
	v.write(src.Path, 300_000/4096*4096, 0, 5<<20, 11<<20)
	v.write(dst.Path, 1<<20, 4<<20, 8<<20, 15<<20) // zeros replace it

	index := filepath.Join(t.TempDir(), "index")
	push := func() blockcopy.Report {
		file, _, err := blockcopy.OpenTarget(dst.Path, volumeSize)
		require.NoError(t, err)
		_, _, err = blockcopy.OpenTarget(dst.Path, volumeSize)
		require.ErrorIs(t, err, blockcopy.ErrBusy)
		require.True(t, strings.HasPrefix(file.Identity(), "LVM-"), file.Identity())
		require.NoError(t, file.Close())
		here, there := pipes(t)
		from := v.source(src.Path)
		go func() {
			_ = blockcopy.Serve(t.Context(), there, blockcopy.Paths{State: filepath.Join(filepath.Dir(index), "state")}.Open)
			there.Close()
		}()
		report, err := blockcopy.Push(t.Context(), here, from, dst.Path, &blockcopy.PushOptions{Index: index, Verify: true})
		require.NoError(t, err)
		return report
	}
	first := push()
	assert.Equal(t, blockcopy.ByHashes, first.How)
	assert.EqualValues(t, 3*(300_000/4096*4096)+3<<20, first.Stats.Data+first.Stats.Zeros)
	v.equal(src.Path, dst.Path)

	snapshot, err := v.c.Snapshot(t.Context(), src.ID, "bc-snap", nil)
	require.NoError(t, err)
	removed := false
	t.Cleanup(func() {
		if !removed {
			assert.NoError(t, v.c.Remove(context.Background(), snapshot.ID))
		}
	})
	v.write(src.Path, 4096, 4096, 1<<20, 7<<20+8192)
	changed, err := v.c.Changed(t.Context(), snapshot.ID)
	require.NoError(t, err)
	require.Len(t, changed, 3)
	target := v.make("bc-list", "")
	for _, pass := range []struct {
		from string
		opts *blockcopy.SendOptions
		read int64
	}{{snapshot.Path, nil, volumeSize}, {src.Path, &blockcopy.SendOptions{Changes: blockcopy.Extents(changed)}, 3 * 4096}} {
		f, _, err := blockcopy.OpenTarget(target.Path, volumeSize)
		require.NoError(t, err)
		tr := blockcopy.NewTransfer(volumeSize)
		r, w := pipes(t)
		from, sent := v.source(pass.from), make(chan blockcopy.Stats, 1)
		go func() {
			stats, err := blockcopy.Send(t.Context(), w, from, tr, pass.opts)
			assert.NoError(t, err)
			sent <- stats
		}()
		_, err = blockcopy.Receive(t.Context(), r, f, tr, nil)
		require.NoError(t, err)
		require.Equal(t, pass.read, (<-sent).Read)
		require.NoError(t, f.Close())
		v.equal(pass.from, target.Path)
	}
	require.NoError(t, v.c.Remove(t.Context(), snapshot.ID))
	removed = true

	second := push()
	assert.Equal(t, blockcopy.ByIndex, second.How)
	assert.EqualValues(t, 3*4096, second.Stats.Data)
	v.equal(src.Path, dst.Path)

	// A fresh thin volume takes no room for zeros.
	_, err = dom0.Output(t.Context(), dom0.Local{}, "lvcreate", "-y", "-q", "--type", "thin-pool", "-L", "64m", "-n", "bc-pool", "guests")
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := dom0.Output(context.Background(), dom0.Local{}, "lvremove", "-y", "-q", "guests/bc-pool")
		assert.NoError(t, err)
	})
	thin := v.make("bc-thin", "bc-pool")
	f, _, err := blockcopy.OpenTarget(thin.Path, volumeSize)
	require.NoError(t, err)
	tr := blockcopy.NewTransfer(volumeSize)
	tr.Fresh = true
	carry(t, v.source(src.Path), f, tr)
	require.NoError(t, f.Close())
	v.equal(src.Path, thin.Path)
	out, err := dom0.Output(t.Context(), dom0.Local{}, "lvs", "--noheadings", "-o", "data_percent", "guests/bc-thin")
	require.NoError(t, err)
	percent, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	require.NoError(t, err)
	assert.Greater(t, percent, 5.0)
	assert.Less(t, percent, 12.0, "1 MiB of 16, in blocks of 64 KiB")
}

// pipes is a connection through the kernel.
func pipes(t *testing.T) (here, there *os.File) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	here, there = os.NewFile(uintptr(fds[0]), "here"), os.NewFile(uintptr(fds[1]), "there")
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}
