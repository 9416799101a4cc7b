package lvm_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/dom0/dom0test"
)

// disk is a loop device with a volume group on it, and the flags that make lvm
// see this device alone.
type disk struct {
	group string
	loop  string
	flags []string
}

// newDisk makes one; extra are flags for every command.
func newDisk(t testing.TB, ti tier.Tier, group string, size int64, extra ...string) *disk {
	t.Helper()
	return newDiskOn(t, ti, group, size, func(loop string) string { return loop }, extra...)
}

// newDiskOn is newDisk with a device that is made of the loop device.
func newDiskOn(t testing.TB, ti tier.Tier, group string, size int64, over func(loop string) string, extra ...string) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		tier.CanNot(t, ti, "it needs root")
	}
	for _, tool := range []string{"lvm", "losetup"} {
		if _, err := exec.LookPath(tool); err != nil {
			tier.CanNot(t, ti, err.Error())
		}
	}
	file := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Truncate(file, size))
	d := &disk{group: group}
	d.loop = strings.TrimSpace(string(d.run(t, "losetup", "-f", "--show", file)))
	t.Cleanup(func() { d.run(t, "losetup", "-d", d.loop) })
	dev := over(d.loop)
	d.flags = append([]string{"--config", `devices{use_devicesfile=0 filter=["a|^` + dev + `$|","r|.*|"]}` +
		` backup{backup=0 archive=0} activation{monitoring=0} global{thin_check_executable=""}`}, extra...)
	d.lvm(t, "pvcreate", "-y", "-q", dev)
	d.lvm(t, "vgcreate", "-q", "-s", "1m", group, dev)
	return d
}

func (d *disk) run(t testing.TB, argv ...string) []byte {
	t.Helper()
	out, err := dom0.Output(t.Context(), dom0.Local{}, argv...)
	if t.Context().Err() != nil { // in a Cleanup
		out, err = exec.Command(argv[0], argv[1:]...).Output()
	}
	require.NoError(t, err)
	return out
}

func (d *disk) lvm(t testing.TB, command string, args ...string) []byte {
	t.Helper()
	return d.run(t, append(append([]string{"lvm", command}, d.flags...), args...)...)
}

// metadataOnly is a real group without device-mapper.
func metadataOnly(t testing.TB) *disk {
	tier.Require(t, tier.LVM)
	return newDisk(t, tier.LVM, "xhmeta", 64<<20, "--driverloaded", "n")
}

// rewrite keeps this run's loop device out of recordings.
func rewrite(arg string) string {
	if strings.HasPrefix(arg, "devices{") {
		return "devices{...}"
	}
	return arg
}

// The recording is made of a run of tier lvm: XENHOST_RECORD=1 XENHOST_TIERS=lvm.
const recording = "testdata/metadata.txtar"

func TestLVMMetadata(t *testing.T) {
	d := metadataOnly(t)
	var runner dom0.Runner = dom0.Local{}
	if os.Getenv(dom0test.RecordEnv) == "1" {
		runner = dom0test.Record(t, recording, runner, &dom0test.Options{Rewrite: rewrite})
	}
	lvmtest.TestMetadata(t, lvmtest.Harness{Manager: lvm.New(runner, &lvm.Options{Flags: d.flags}), Group: d.group})
}

func TestReplayMetadata(t *testing.T) {
	runner := dom0test.Replay(t, recording, &dom0test.Options{Rewrite: rewrite})
	flags := []string{"--config", "devices{...}", "--driverloaded", "n"}
	lvmtest.TestMetadata(t, lvmtest.Harness{Manager: lvm.New(runner, &lvm.Options{Flags: flags}), Group: "xhmeta"})
}

// Without a device there is nothing to wipe by: the volume stays marked.
func TestLVMUnwiped(t *testing.T) {
	d := metadataOnly(t)
	c := lvm.New(dom0.Local{}, &lvm.Options{Flags: d.flags})
	id := lvm.ID{Group: d.group, Name: "web1"}
	_, err := c.Create(t.Context(), lvm.Spec{ID: id, Size: 1})
	require.ErrorIs(t, err, lvm.ErrUnwiped)
	v, err := c.Volume(t.Context(), id)
	require.NoError(t, err)
	assert.True(t, v.Unwiped())
	assert.True(t, v.Skip)
	require.ErrorIs(t, c.Wipe(t.Context(), id), lvm.ErrUnwiped)
}

// What ValidName and ValidTag take, LVM takes, and shows back as it was given.
func TestLVMNames(t *testing.T) {
	d := metadataOnly(t)
	c := lvm.New(dom0.Local{}, &lvm.Options{Flags: d.flags})
	reserved := []string{"snapshot", "pvmove", "_mlog", "_rimage", "_tdata", "vorigin", "lvol0", "pmspare", "mimage"}
	name := rapid.Custom(func(t *rapid.T) string {
		name := rapid.StringMatching(`[a-z][a-z0-9-]{0,62}`).Draw(t, "plain")
		if rapid.IntRange(0, 3).Draw(t, "odd") == 0 {
			name = rapid.SampledFrom(reserved).Draw(t, "reserved") + name
		}
		return name
	})
	tag := rapid.StringMatching(`[A-Za-z0-9_+./=!:#&][A-Za-z0-9_+./=!:#&-]{0,200}`)
	tries := 0
	rapid.Check(t, func(rt *rapid.T) {
		if tries++; tries > 40 { // each costs half a second
			return
		}
		spec := lvm.Spec{ID: lvm.ID{Group: d.group, Name: name.Draw(rt, "name")}, Size: 1, Unwiped: true, Tags: []string{tag.Draw(rt, "tag")}}
		v, err := c.Create(t.Context(), spec)
		if lvm.ValidName(spec.Name) != nil {
			require.ErrorIs(rt, err, lvm.ErrInvalid)
			return
		}
		require.NoError(rt, err)
		assert.Equal(rt, spec.Name, v.Name)
		assert.Contains(rt, v.Tags, spec.Tags[0])
		require.NoError(rt, c.Remove(t.Context(), v.ID))
	})
}

// What LVM keeps for itself, it does refuse; and names that we would not give
// can be read, tagged and removed.
func TestLVMForeignNames(t *testing.T) {
	d := metadataOnly(t)
	c := lvm.New(dom0.Local{}, &lvm.Options{Flags: d.flags})
	create := []string{"-y", "-an", "-Wn", "-Zn", "-l1", "-n"}
	for _, name := range []string{"snapshot", "snapshotty", "pvmove0"} {
		argv := append(append([]string{"lvm", "lvcreate"}, d.flags...), append(create, name, d.group)...)
		_, err := dom0.Output(t.Context(), dom0.Local{}, argv...)
		assert.Error(t, err, name)
	}
	foreign := strings.Repeat("W", 100) + "_+.disk"
	d.lvm(t, "lvcreate", append(create, foreign, d.group)...)
	id := lvm.ID{Group: d.group, Name: foreign}
	require.NoError(t, c.Tag(t.Context(), id, []string{"a"}, nil))
	v, err := c.Volume(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, v.Tags)
	require.NoError(t, c.Remove(t.Context(), id))
}

// A command that reports success and did nothing, as on a disk that drops
// writes, is noticed by each verb.
func TestLVMLies(t *testing.T) {
	d := metadataOnly(t)
	spec := lvm.Spec{ID: lvm.ID{Group: d.group, Name: "web1"}, Size: 1, Unwiped: true}
	lying := func(command string) *lvm.Client {
		return lvm.New(liar{dom0.Local{}, command}, &lvm.Options{Flags: d.flags})
	}
	_, err := lying("lvcreate").Create(t.Context(), spec)
	assert.ErrorContains(t, err, "it is not there")
	_, err = lvm.New(dom0.Local{}, &lvm.Options{Flags: d.flags}).Create(t.Context(), spec)
	require.NoError(t, err)
	assert.ErrorContains(t, lying("lvchange").Tag(t.Context(), spec.ID, []string{"a"}, nil), "no tag a")
	_, err = lying("lvextend").Grow(t.Context(), spec.ID, 2<<20)
	assert.ErrorContains(t, err, "and not 2097152, though LVM reported success")
	_, err = lying("lvrename").Rename(t.Context(), spec.ID, "web2")
	assert.ErrorContains(t, err, "its old name")
	assert.ErrorContains(t, lying("lvremove").Remove(t.Context(), spec.ID), "still there")
}

// An lvm that hangs with the lock of the group holds no verb up for longer than
// the time-out, and nothing is begun.
func TestLVMLocked(t *testing.T) {
	d := metadataOnly(t)
	c := lvm.New(dom0.Local{}, &lvm.Options{Flags: d.flags, Timeout: 300 * time.Millisecond})
	patient := lvm.New(dom0.Local{}, &lvm.Options{Flags: d.flags})
	web1 := lvm.ID{Group: d.group, Name: "web1"}
	_, err := patient.Create(t.Context(), lvm.Spec{ID: web1, Size: 1, Unwiped: true})
	require.NoError(t, err)
	unlock := lock(t, d.group)
	for verb, do := range map[string]func(ctx context.Context) error{
		"create": func(ctx context.Context) error {
			_, err := c.Create(ctx, lvm.Spec{ID: lvm.ID{Group: d.group, Name: "web2"}, Size: 1})
			return err
		},
		"create pool": func(ctx context.Context) error {
			_, err := c.CreatePool(ctx, lvm.PoolSpec{ID: lvm.ID{Group: d.group, Name: "pool2"}, Size: 1})
			return err
		},
		"wipe":    func(ctx context.Context) error { return c.Wipe(ctx, web1) },
		"tag":     func(ctx context.Context) error { return c.Tag(ctx, web1, []string{"a"}, nil) },
		"grow":    func(ctx context.Context) error { _, err := c.Grow(ctx, web1, 2<<20); return err },
		"rename":  func(ctx context.Context) error { _, err := c.Rename(ctx, web1, "web2"); return err },
		"merge":   func(ctx context.Context) error { _, err := c.Merge(ctx, web1); return err },
		"remove":  func(ctx context.Context) error { return c.Remove(ctx, web1) },
		"changed": func(ctx context.Context) error { _, err := c.Changed(ctx, web1); return err },
	} {
		assert.ErrorIs(t, do(t.Context()), context.DeadlineExceeded, verb)
	}
	unlock()
	v, err := patient.Volume(t.Context(), web1)
	require.NoError(t, err)
	assert.Equal(t, []string{lvm.TagWiping}, v.Tags)
	assert.Equal(t, int64(1<<20), v.Size)
}
