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

// startLibvirtd starts a libvirtd of the test's own and returns its socket. It
// is told nothing but where its socket is, so it can run beside another one.
func startLibvirtd(t *testing.T, dir string, cmd *exec.Cmd) (socket string) {
	t.Helper()
	conf := filepath.Join(dir, "libvirtd.conf")
	require.NoError(t, os.WriteFile(conf, []byte(strings.Join([]string{
		`unix_sock_dir = "` + dir + `"`, `auth_unix_ro = "none"`, `auth_unix_rw = "none"`, `log_outputs = "2:file:` + filepath.Join(dir, "log") + `"`,
	}, "\n")+"\n"), 0o644))
	cmd.Args = append(cmd.Args, "-f", conf, "-p", filepath.Join(dir, "pid"), "--timeout", "3600")
	out, err := os.Create(filepath.Join(dir, "out"))
	require.NoError(t, err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("libvirtd's log:\n%s", said)
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			t.Error("libvirtd did not end when it was told to")
			<-ended
		}
	})
	socket = filepath.Join(dir, "libvirt-sock")
	for limit := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			said, _ := os.ReadFile(filepath.Join(dir, "out"))
			require.Fail(t, "libvirtd ended", "%v\n%s", err, said)
		default:
		}
		if _, err := os.Stat(socket); err == nil {
			return socket
		}
		require.True(t, time.Now().Before(limit), "libvirtd has no socket after two minutes")
	}
}
