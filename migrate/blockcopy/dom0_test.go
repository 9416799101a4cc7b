package blockcopy_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/dom0"
)

const (
	volumeSize = 64 << 20
	thinBlock  = 64 << 10
)

// volumes are two of them in a group with device-mapper under it, as a domain
// and its replica have them.
type volumes struct {
	*lvm.Client
	src, dst lvm.Volume
	opts     blockcopy.PushOptions
	state    string
	want     []byte // what src holds
	r        *rand.Rand
}

func newVolumes(t testing.TB, group string, size int64, pool string) *volumes {
	tier.Require(t, tier.Dom0)
	t.Setenv("TMPDIR", "/var/tmp") // on the disk: dom0 has little memory
	dir := t.TempDir()
	file := filepath.Join(dir, "disk")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Truncate(file, size))
	run := func(argv ...string) string {
		out, err := dom0.Output(t.Context(), dom0.Local{}, argv...)
		require.NoError(t, err)
		return strings.TrimSpace(string(out))
	}
	loop := run("losetup", "-f", "--show", file)
	flags := []string{"--config", `devices{use_devicesfile=0 filter=["a|^` + loop + `$|","r|.*|"]}` +
		` backup{backup=0 archive=0} activation{monitoring=0} global{thin_check_executable=""}`}
	lvmRun := func(command string, args ...string) {
		run(append(append([]string{"lvm", command}, flags...), args...)...)
	}
	lvmRun("vgcreate", "-q", "-s", "1m", group, loop)
	cleanup(t, append(append([]string{"lvm", "vgremove"}, flags...), "-y", "-ff", "-q", group), []string{"losetup", "-d", loop})
	v := &volumes{
		Client: lvm.New(dom0.Local{}, &lvm.Options{Flags: flags, StateDir: filepath.Join(dir, "lvm")}),
		opts:   blockcopy.PushOptions{Index: filepath.Join(dir, "index")}, state: filepath.Join(dir, "state"), r: rand.New(rand.NewPCG(7, 7)),
	}
	if pool != "" {
		_, err := v.CreatePool(t.Context(), lvm.PoolSpec{ID: lvm.ID{Group: group, Name: pool}, Size: 4 * volumeSize, Block: thinBlock})
		require.NoError(t, err)
	}
	var err error
	v.src, err = v.Create(t.Context(), lvm.Spec{ID: lvm.ID{Group: group, Name: "web1"}, Size: volumeSize, Pool: pool})
	require.NoError(t, err)
	v.dst, err = v.Create(t.Context(), lvm.Spec{ID: lvm.ID{Group: group, Name: "web1-copy"}, Size: volumeSize, Pool: pool})
	require.NoError(t, err)
	v.want = make([]byte, volumeSize)
	fill(v.want, 40)
	v.writes(t, func(d lvm.Device) {
		_, err := d.WriteAt(v.want, 0)
		require.NoError(t, err)
	})
	return v
}

// cleanup runs commands after the test, whose context has ended by then.
func cleanup(t testing.TB, argvs ...[]string) {
	t.Cleanup(func() {
		for _, argv := range argvs {
			_, err := dom0.Output(context.Background(), dom0.Local{}, argv...)
			assert.NoError(t, err)
		}
	})
}

// writes lets do write to the source.
func (v *volumes) writes(t testing.TB, do func(lvm.Device)) {
	d, err := v.Open(t.Context(), v.src.ID)
	require.NoError(t, err)
	do(d)
	require.NoError(t, d.Sync())
	require.NoError(t, d.Close())
}

// busy writes as a domain does: noise of any length at any sector, and zeros.
func (v *volumes) busy(t testing.TB, times int) {
	v.writes(t, func(d lvm.Device) {
		for i := range times {
			at := v.r.Int64N(volumeSize/512-64) * 512
			piece := v.want[at : at+512*(1+v.r.Int64N(64))]
			for k := range piece {
				if piece[k] = 0; i%4 > 0 {
					piece[k] = byte(v.r.Uint32())
				}
			}
			_, err := d.WriteAt(piece, at)
			require.NoError(t, err)
		}
	})
}

// discard gives blocks of a thin volume back to its pool.
func (v *volumes) discard(t testing.TB, offset, length int64) {
	f, err := os.OpenFile(v.src.Path, os.O_RDWR, 0)
	require.NoError(t, err)
	span := [2]uint64{uint64(offset), uint64(length)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKDISCARD, uintptr(unsafe.Pointer(&span)))
	require.Zero(t, errno)
	require.NoError(t, f.Close())
	clear(v.want[offset : offset+length])
}

// push is what blocksync does from the volume at path, and looks at both.
func (v *volumes) push(t testing.TB, path string, how blockcopy.How, opts blockcopy.PushOptions) blockcopy.Report {
	t.Helper()
	src, err := blockcopy.OpenSource(path)
	require.NoError(t, err)
	here, there := net.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- blockcopy.Serve(t.Context(), there, blockcopy.Paths{State: v.state}.Open)
		there.Close()
	}()
	report, err := blockcopy.Push(t.Context(), here, src, v.dst.Path, &opts)
	require.NoError(t, err)
	require.NoError(t, <-served)
	require.NoError(t, src.Close())
	require.Equal(t, how, report.How)
	for _, one := range []lvm.ID{v.src.ID, v.dst.ID} {
		v.pieces(t, one, 1<<20, func(at int64, piece []byte) {
			require.True(t, bytes.Equal(v.want[at:at+int64(len(piece))], piece), "%s at %d", one, at)
		})
	}
	t.Logf("RESULT %s: %s, %d bytes read, %d data, %d zeros, %d sent", t.Name(), how, report.Stats.Read, report.Stats.Data, report.Stats.Zeros, report.Sent)
	return report
}

// pieces reads all of a volume, whose size is a multiple of unit.
func (v *volumes) pieces(t testing.TB, id lvm.ID, unit int64, look func(at int64, piece []byte)) {
	t.Helper()
	d, err := v.Open(t.Context(), id)
	require.NoError(t, err)
	require.EqualValues(t, volumeSize, d.Size())
	piece := make([]byte, unit)
	for at := int64(0); at < volumeSize; at += unit {
		_, err := d.ReadAt(piece, at)
		require.NoError(t, err)
		look(at, piece)
	}
	require.NoError(t, d.Close())
}

// changed returns what the snapshot says, and checks that nothing is missing:
// by all the bytes, and by what the source of changes may add, a unit each.
func (v *volumes) changed(t testing.TB, snapshot lvm.ID, unit int64) []lvm.Extent {
	t.Helper()
	extents, err := v.Changed(t.Context(), snapshot)
	require.NoError(t, err)
	inside := make([]bool, volumeSize/unit)
	for _, e := range extents {
		for at := e.Offset; at < e.Offset+e.Length; at += unit {
			inside[at/unit] = true
		}
	}
	v.pieces(t, snapshot, unit, func(at int64, before []byte) {
		require.True(t, inside[at/unit] || bytes.Equal(before, v.want[at:at+unit]), "the change at %d is not in the list", at)
	})
	return extents
}

// night takes a snapshot, copies it, and gives back what it is and the
// generation.
func (v *volumes) night(t testing.TB, name string, how blockcopy.How, opts blockcopy.PushOptions) (lvm.ID, blockcopy.Report) {
	snap, err := v.Snapshot(t.Context(), v.src.ID, name, nil)
	require.NoError(t, err)
	if snap.Kind == lvm.Thin && !snap.Active {
		require.NoError(t, v.Activate(t.Context(), snap.ID))
	}
	return snap.ID, v.push(t, snap.Path, how, opts)
}
