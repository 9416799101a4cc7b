package postgres_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Env switches on what needs a PostgreSQL server, 15 or newer, which the test
// starts for itself; as root, since the server refuses to be it. XENHOST_POSTGRES
// is its folder of programs, or 1 for that of Debian's package postgresql.
const Env = "XENHOST_POSTGRES"

// server is a real one, with its own folder and socket.
type server struct {
	bin, dir string
	as       *syscall.Credential
}

func newServer(t *testing.T) *server {
	s := &server{bin: os.Getenv(Env)}
	switch s.bin {
	case "":
		t.Skipf("switch it on with %s=1 (as root, with Debian's postgresql)", Env)
	case "1":
		found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
		require.NoError(t, err)
		require.NotEmpty(t, found, "Debian's package postgresql is not installed")
		s.bin = found[len(found)-1]
	}
	who, err := user.Lookup("postgres")
	require.NoError(t, err)
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	require.NoError(t, err)
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	require.NoError(t, err)
	if os.Geteuid() == 0 {
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	s.dir, err = os.MkdirTemp("", "xhpg") // short: it is the path of a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	require.NoError(t, os.Chown(s.dir, int(uid), int(gid)))
	s.run(t, "initdb", "-D", s.data(), "-A", "trust", "-E", "UTF8", "--locale=C", "-U", "xenhost")
	s.start(t)
	t.Cleanup(func() { s.run(t, "pg_ctl", "-D", s.data(), "-m", "immediate", "-w", "stop") })
	return s
}

func (s *server) data() string { return filepath.Join(s.dir, "data") }

func (s *server) run(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: s.as}
	log, err := os.Create(filepath.Join(s.dir, name+".log")) // a pipe would stay open with the server
	require.NoError(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Run()
	text, _ := os.ReadFile(log.Name())
	require.NoError(t, err, "%s", text)
}

func (s *server) start(t *testing.T) {
	t.Helper()
	s.run(t, "pg_ctl", "-D", s.data(), "-w", "-t", "120", "-l", filepath.Join(s.dir, "server.log"),
		"-o", "-c listen_addresses='' -c unix_socket_directories="+s.dir, "start")
}

// crash ends it as a power failure does: it recovers when it is started.
func (s *server) crash(t *testing.T) {
	t.Helper()
	s.run(t, "pg_ctl", "-D", s.data(), "-m", "immediate", "-w", "stop")
}

// database makes an empty one.
func (s *server) database(t *testing.T, name string) string {
	t.Helper()
	s.run(t, "createdb", "-h", s.dir, "-U", "xenhost", name)
	return fmt.Sprintf("host=%s user=xenhost dbname=%s", s.dir, name)
}
