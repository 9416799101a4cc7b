package lock_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/lock"
	"github.com/xenhost/xenhost/migrate/lock/locktest"
)

const holder = "XENHOST_LOCK_HOLDER" // a folder and a guest: hold it and wait to be killed

func TestMain(m *testing.M) {
	if dir, guest, ok := strings.Cut(os.Getenv(holder), " "); ok {
		_, err := lock.NewFiles(dir).Acquire(context.Background(), uuid.MustParse(guest))
		fmt.Println("held", err)
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	locktest.TestLocker(t, lock.NewFiles(dir), lock.NewFiles(dir))
}

// TestDiesWithItsOwner: nobody has to unlock what a killed process held.
func TestDiesWithItsOwner(t *testing.T) {
	dir, guest := t.TempDir(), uuid.New()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holder+"="+dir+" "+guest.String())
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held <nil>\n", said)
	_, err = lock.NewFiles(dir).Acquire(t.Context(), guest)
	require.ErrorIs(t, err, lock.ErrBusy)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	began := time.Now()
	lease, err := lock.NewFiles(dir).Acquire(t.Context(), guest)
	require.NoError(t, err)
	assert.Less(t, time.Since(began), time.Second)
	assert.EqualValues(t, 2, lease.Token())
	require.NoError(t, lease.Release())
}

// TestLockFileRemoved: an operator who removes a lock file lets a second one in;
// the first one is told.
func TestLockFileRemoved(t *testing.T) {
	dir, guest := t.TempDir(), uuid.New()
	first, err := lock.NewFiles(dir).Acquire(t.Context(), guest)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, guest.String()+".lock")))
	require.ErrorIs(t, first.Check(t.Context()), lock.ErrLost)
	second, err := lock.NewFiles(dir).Acquire(t.Context(), guest)
	require.NoError(t, err)
	require.ErrorIs(t, first.Check(t.Context()), lock.ErrLost)
	assert.Greater(t, second.Token(), first.Token())
	require.NoError(t, second.Check(t.Context()))
	require.NoError(t, first.Release())
	require.NoError(t, second.Release())
}

// TestTokenDamaged: no token is made up.
func TestTokenDamaged(t *testing.T) {
	dir, guest := t.TempDir(), uuid.New()
	require.NoError(t, os.WriteFile(filepath.Join(dir, guest.String()+".token"), []byte("seven"), 0o600))
	_, err := lock.NewFiles(dir).Acquire(t.Context(), guest)
	require.ErrorContains(t, err, "token "+dir)
	require.NoError(t, os.Remove(filepath.Join(dir, guest.String()+".token")))
	lease, err := lock.NewFiles(dir).Acquire(t.Context(), guest)
	require.NoError(t, err, "the refusal holds nothing")
	require.NoError(t, lease.Release())
}
