package libvirt_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// libvirtd is a daemon of the test's own. It is told nothing but where its
// socket is, so it can run beside another one.
type libvirtd struct {
	dir    string
	socket string
	like   *exec.Cmd // how it is started
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process is gone
}

// startLibvirtd starts the daemon; what it writes is below dir.
func startLibvirtd(t *testing.T, dir string, like *exec.Cmd) *libvirtd {
	t.Helper()
	conf := filepath.Join(dir, "libvirtd.conf")
	require.NoError(t, os.WriteFile(conf, []byte(strings.Join([]string{
		`unix_sock_dir = "` + dir + `"`, `auth_unix_ro = "none"`, `auth_unix_rw = "none"`, `log_outputs = "2:file:` + filepath.Join(dir, "log") + `"`,
	}, "\n")+"\n"), 0o644))
	like.Args = append(like.Args, "-f", conf, "-p", filepath.Join(dir, "pid"), "--timeout", "3600")
	d := &libvirtd{dir: dir, socket: filepath.Join(dir, "libvirt-sock"), like: like}
	d.start(t)
	t.Cleanup(func() {
		if t.Failed() {
			for _, path := range []string{filepath.Join(dir, "log"), "/var/log/libvirt/libxl/libxl-driver.log"} {
				said, _ := os.ReadFile(path)
				t.Logf("the end of %s:\n%s", path, said[max(0, len(said)-20_000):])
			}
		}
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.ended:
		case <-time.After(30 * time.Second):
			_ = d.cmd.Process.Kill()
			t.Error("libvirtd did not end when it was told to")
			d.wait()
		}
	})
	return d
}

// wait returns when the process is gone.
func (d *libvirtd) wait() { <-d.ended }

// start starts it, again if it has ended, and waits until it listens.
func (d *libvirtd) start(t *testing.T) {
	t.Helper()
	_ = os.Remove(d.socket) // of one that was killed
	out, err := os.Create(filepath.Join(d.dir, "out"))
	require.NoError(t, err)
	defer out.Close()
	d.cmd = &exec.Cmd{Path: d.like.Path, Args: d.like.Args, Env: d.like.Env, SysProcAttr: d.like.SysProcAttr, Stdout: out, Stderr: out}
	require.NoError(t, d.cmd.Start())
	d.ended = make(chan struct{})
	go func() {
		defer close(d.ended)
		_ = d.cmd.Wait()
	}()
	for limit := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		select {
		case <-d.ended:
			said, _ := os.ReadFile(out.Name())
			require.Fail(t, "libvirtd ended", "%v\n%s", d.cmd.ProcessState, said)
		default:
		}
		if _, err := os.Stat(d.socket); err == nil {
			return
		}
		require.True(t, time.Now().Before(limit), "libvirtd has no socket after two minutes")
	}
}
