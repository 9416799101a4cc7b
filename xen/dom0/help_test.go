package dom0_test

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/dom0"
)

// patience is far beyond what a loaded machine needs; nothing passes by it.
const patience = 30 * time.Second

// sh is a command of a few lines; the shell is the test's, never the SDK's.
func sh(script string, args ...string) dom0.Cmd {
	return dom0.Cmd{Args: append([]string{"sh", "-c", script, "sh"}, args...)}
}

func failure(t *testing.T, err error) *dom0.Error {
	t.Helper()
	require.Error(t, err)
	failed, ok := errors.AsType[*dom0.Error](err)
	require.True(t, ok, "%T is no *dom0.Error", err)
	return failed
}

func debugLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// leavesNothing fails t if, at its end, there are more goroutines, open files
// or children than now.
func leavesNothing(t *testing.T) {
	t.Helper()
	// The first command makes the Go runtime open files for itself.
	require.NoError(t, dom0.Local{}.Run(t.Context(), sh("true")))
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	t.Cleanup(func() {
		assert.Eventually(t, func() bool {
			// Eventually runs this in a goroutine of its own.
			return runtime.NumGoroutine() <= goroutines+1 && openFiles(t) <= files
		}, patience, 5*time.Millisecond, "goroutines or files are left")
		_, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		assert.ErrorIs(t, err, syscall.ECHILD, "a child is left")
	})
}

func openFiles(t *testing.T) int {
	dir, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(dir)
}

// talk is a command's stdout, read line by line while it runs.
type talk struct {
	io.Writer
	lines *bufio.Reader
}

func newTalk(t *testing.T) *talk {
	r, w := io.Pipe()
	t.Cleanup(func() { r.Close() })
	return &talk{Writer: w, lines: bufio.NewReader(r)}
}

func (k *talk) line(t *testing.T) string {
	t.Helper()
	line, err := k.lines.ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line)
}

// gone reports whether a process has ended, reaped or not.
func gone(pid string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func endAtCleanup(t *testing.T, pid string) {
	n, err := strconv.Atoi(pid)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Kill(n, syscall.SIGKILL) })
}
