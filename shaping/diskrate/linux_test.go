package diskrate_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/shaping/diskrate"
	"github.com/xenhost/xenhost/shaping/diskrate/diskratetest"
)

// needDevices lets the test go on where it may make loop devices; in the dom0
// of a lab host, which has no init that does it, it mounts control groups.
func needDevices(t *testing.T) {
	t.Helper()
	need := tier.LVM
	if !tier.Demanded(need) && tier.Demanded(tier.Dom0) {
		need = tier.Dom0
	}
	tier.Require(t, need)
	if os.Geteuid() != 0 {
		tier.CanNot(t, need, "it needs root")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	if strings.Contains(string(mounts), " - cgroup") {
		return
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("none", dir, "cgroup2", 0, ""))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
}

// loop makes a loop device of 64 MiB.
func loop(t *testing.T) (path string, id diskrate.Device) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Truncate(file, 64<<20))
	path = command(t, "losetup", "-f", "--show", file)
	t.Cleanup(func() { command(t, "losetup", "-d", path) })
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	return path, diskrate.Device{Major: unix.Major(uint64(st.Rdev)), Minor: unix.Minor(uint64(st.Rdev))}
}

func command(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput() // #nosec G204: a test's own words
	require.NoError(t, err, "%v: %s", argv, out)
	return strings.TrimSpace(string(out))
}

// servers are processes that stand for threads of the kernel: each waits for a
// word and then does its command.
type servers struct {
	mu  sync.Mutex
	all map[string]*server
}

type server struct {
	*exec.Cmd
	goes io.Closer
}

func (s *servers) begin(t *testing.T, name string, argv ...string) *server {
	t.Helper()
	c := exec.Command("sh", append([]string{"-c", `read go; exec "$@"`, "sh"}, argv...)...) // #nosec G204: a test's own words
	stdin, err := c.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]*server{}
	}
	s.all[name] = &server{c, stdin}
	t.Cleanup(func() { s.end(name) })
	return s.all[name]
}

func (s *servers) end(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.all[name]; c != nil {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	delete(s.all, name)
}

func (s *servers) by() map[int]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[int]string{}
	for name, c := range s.all {
		out[c.Process.Pid] = name
	}
	return out
}

// newLinux is a manager with a group of its own, which must leave nothing.
func newLinux(t *testing.T) (*diskrate.Linux, *servers) {
	t.Helper()
	group := fmt.Sprintf("xenhost-%d", time.Now().UnixNano())
	m, s := diskrate.New(&diskrate.Options{Group: group, LockDir: t.TempDir()}), &servers{}
	m.Serve(s.by)
	t.Cleanup(func() {
		left, err := filepath.Glob("/sys/fs/cgroup/*/" + group)
		assert.NoError(t, err)
		assert.Empty(t, left)
	})
	return m, s
}

func TestLinux(t *testing.T) {
	needDevices(t)
	diskratetest.TestManager(t, func(t *testing.T) diskratetest.Site {
		m, s := newLinux(t)
		site := diskratetest.Site{
			Manager: m,
			Begin:   func(t *testing.T, name string) { s.begin(t, name, "true") },
			End:     func(_ *testing.T, name string) { s.end(name) },
		}
		for i := range site.Paths {
			path, id := loop(t)
			site.Paths[i], site.IDs[i] = path, id
			t.Cleanup(func() { assert.NoError(t, m.Set(context.Background(), path, diskrate.Limit{})) })
		}
		return site
	})
}

// TestThrottles: what a thread in the group reads and writes takes the time
// that its limit gives it. How little dom0's own work beside it takes is shown
// only: a busy machine may hold it up.
func TestThrottles(t *testing.T) {
	needDevices(t)
	for name, c := range map[string]struct {
		limit diskrate.Limit
		dd    []string
		least time.Duration
	}{
		"read bytes":     {diskrate.Limit{ReadBytes: 4 << 20}, []string{"of=/dev/null", "iflag=direct", "bs=1M", "count=8"}, 2 * time.Second},
		"write bytes":    {diskrate.Limit{WriteBytes: 4 << 20}, []string{"if=/dev/zero", "oflag=direct", "bs=1M", "count=8"}, 2 * time.Second},
		"read requests":  {diskrate.Limit{ReadOps: 20}, []string{"of=/dev/null", "iflag=direct", "bs=4k", "count=40"}, 2 * time.Second},
		"write requests": {diskrate.Limit{WriteOps: 20}, []string{"if=/dev/zero", "oflag=direct", "bs=4k", "count=40"}, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			m, s := newLinux(t)
			path, _ := loop(t)
			t.Cleanup(func() { assert.NoError(t, m.Set(context.Background(), path, diskrate.Limit{})) })
			file := "if=" + path
			if strings.HasPrefix(c.dd[0], "if=") {
				file = "of=" + path
			}
			argv := append([]string{"dd", file, "status=none"}, c.dd...)
			require.NoError(t, m.Set(t.Context(), path, c.limit))
			begin := time.Now()
			guest := s.begin(t, "1.xvda-0", argv...)
			require.NoError(t, m.Refresh(t.Context()))
			require.NoError(t, guest.goes.Close())

			command(t, argv...)
			dom0 := time.Since(begin)
			require.NoError(t, guest.Wait())
			took := time.Since(begin)
			t.Logf("guest %v; dom0 was done after %v", took, dom0)
			// A throttle hands out what it allows in slices of a tenth of a second.
			assert.GreaterOrEqual(t, took, c.least-200*time.Millisecond)
		})
	}
}
