package diskrate

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLimitText(t *testing.T) {
	l := Limit{ReadBytes: 52428800, WriteOps: 2000}
	assert.Equal(t, "rbps=52428800 wiops=2000", l.String())
	assert.Equal(t, "rbps=52428800 wbps=max riops=max wiops=2000", l.full())
	assert.Equal(t, "unlimited", Limit{}.String())
	for _, text := range []string{l.String(), l.full(), l.full() + " later=1"} {
		back, err := parseLimit(strings.Fields(text))
		require.NoError(t, err)
		assert.Equal(t, l, back)
	}
	for _, text := range []string{"rbps", "rbps=-1", "rbps=1k", "rbps="} {
		_, err := parseLimit([]string{text})
		require.ErrorIs(t, err, ErrInvalid, text)
	}
}

func FuzzLimit(f *testing.F) {
	f.Add("rbps=1048576 wbps=max riops=max wiops=4294967294")
	f.Add("rbps=18446744073709551615")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseLimit(strings.Fields(text))
		if err != nil {
			return
		}
		again, err := parseLimit(strings.Fields(l.full()))
		require.NoError(t, err)
		require.Equal(t, l, again)
	})
}

func FuzzDevice(f *testing.F) {
	f.Add("253:3")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDevice(text)
		if err != nil {
			return
		}
		again, err := parseDevice(d.String())
		require.NoError(t, err)
		require.Equal(t, d, again)
	})
}

// TestFindGroup: the hierarchy that has the controller is found, whichever
// version it is, and none is said to be none.
func TestFindGroup(t *testing.T) {
	const tail = "proc /proc rw - proc proc rw\n"
	has, lacks := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(has, "cgroup.controllers"), []byte("cpuset cpu io memory\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(lacks, "cgroup.controllers"), []byte("cpu iox\n"), 0o600))
	two := func(dir, root string) string {
		return "30 24 0:26 " + root + " " + dir + " rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	}
	const one = `31 24 0:27 / /sys/fs/cgroup/blkio rw shared:10 - cgroup cgroup rw,blkio` + "\n"
	for name, c := range map[string]struct {
		mounts string
		want   group
	}{
		"version 2":                    {tail + two(has, "/"), group{has, has + "/xenhost", true}},
		"version 1":                    {one, group{"/sys/fs/cgroup/blkio", "/sys/fs/cgroup/blkio/xenhost", false}},
		"both, version 1 has it":       {two(lacks, "/") + one, group{"/sys/fs/cgroup/blkio", "/sys/fs/cgroup/blkio/xenhost", false}},
		"only another controller's":    {"31 24 0:27 / /x rw - cgroup cgroup rw,cpu,blkio2\n", group{}},
		"version 2 without it":         {two(lacks, "/"), group{}},
		"a part of it, in a container": {two(has, "/docker/1"), group{}},
		"nothing":                      {"", group{}},
		"white space":                  {`31 24 0:27 / /a\040b rw - cgroup cgroup rw,blkio`, group{"/a b", "/a b/xenhost", false}},
	} {
		g, err := findGroup([]byte(c.mounts), "xenhost")
		if c.want == (group{}) {
			require.ErrorIs(t, err, errors.ErrUnsupported, name)
			continue
		}
		require.NoError(t, err, name)
		assert.Equal(t, c.want, g, name)
	}
}

func FuzzMounts(f *testing.F) {
	f.Add([]byte("31 24 0:27 / /a rw - cgroup cgroup rw,blkio"))
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = findGroup(text, "xenhost") })
}

// TestThreads: a thread of the kernel is told from a program, whatever name
// that has.
func TestThreads(t *testing.T) {
	name, ok := parseStat("77 (7.xvda-0) S 2 0 0 0 -1 2129984 0 0")
	assert.True(t, ok)
	assert.Equal(t, "7.xvda-0", name)
	name, ok = parseStat("77 (a) b) (c) S 2 0 0 0 -1 2129984 0 0")
	assert.True(t, ok)
	assert.Equal(t, "a) b) (c", name)
	for _, stat := range []string{"", "77", "77 (x", "77 (7.xvda-0)", "77 (7.xvda-0) S 2 0 0 0 -1 4194560 0 0", "77 (x) S 2 0 0 0 -1 x"} {
		_, ok := parseStat(stat)
		assert.False(t, ok, stat)
	}
	for name, is := range map[string]bool{
		"7.xvda-0": true, "12345.xvdaa-15": true, "1.sda1-0": true, "kworker/0:1-xen": false, "7.xvda": false,
		"vif7.0-q0-guest": false, "0.xvda-0": false, "7.xvda-0x": false, "xenwatch": false,
	} {
		assert.Equal(t, is, backend.MatchString(name), name)
	}

	// A program of that name is none of the kernel's.
	if sleep, err := exec.LookPath("sleep"); err == nil {
		fake := filepath.Join(t.TempDir(), "7.xvda-0")
		data, err := os.ReadFile(sleep)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(fake, data, 0o700)) // #nosec G306: it is to run
		c := exec.CommandContext(t.Context(), fake, "60")
		require.NoError(t, c.Start())
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(c.Process.Pid) + "/stat")
		require.NoError(t, err)
		_, ok := parseStat(string(stat))
		assert.False(t, ok, string(stat))
		require.NoError(t, c.Process.Kill())
		_ = c.Wait()
	}
	_, err := backends("/proc")
	require.NoError(t, err)
}
