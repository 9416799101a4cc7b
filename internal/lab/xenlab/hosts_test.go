package xenlab

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/dom0"
)

// TestLabHosts is one test of many steps, because each world takes seconds.
func TestLabHosts(t *testing.T) {
	l := Start(t)
	curacao, islay := l.MustHost(t, "curacao"), l.MustHost(t, "islay")
	t.Run("runner", func(t *testing.T) { testRunner(t, curacao) })
	t.Run("copies", func(t *testing.T) { testCopies(t, curacao) })
	t.Run("hosts reach each other", func(t *testing.T) {
		name, err := curacao.Run(t.Context(), "ssh", islay.InternalIP(), "hostname")
		require.NoError(t, err)
		assert.Equal(t, "islay\n", string(name))
	})
	t.Run("clock", func(t *testing.T) {
		before := time.Now()
		out, err := islay.Run(t.Context(), "date", "+%s")
		require.NoError(t, err)
		at, err := time.Parse("2006-01-02", "1970-01-01")
		require.NoError(t, err)
		seconds, err := time.ParseDuration(strings.TrimSpace(string(out)) + "s")
		require.NoError(t, err)
		assert.WithinDuration(t, before, at.Add(seconds), 30*time.Second, "a resumed host has today's time")
	})
	t.Run("tests in dom0", func(t *testing.T) {
		const pkg = "github.com/xenhost/xenhost/internal/lab/record"
		got := curacao.Test(t, pkg, &TestOptions{Run: "TestBootsAndRecordsGoOn|TestSlots"})
		assert.Equal(t, TestResult{Passed: 2}, got)
	})
	t.Run("running state is kept", func(t *testing.T) { testState(t, islay) })
	t.Run("power failure", func(t *testing.T) { testPowerFailure(t, islay) })
	assert.Zero(t, l.Retried(), "no boot failed")
	t.Run("a boot that fails says why", func(t *testing.T) {
		require.NoError(t, islay.Kill(t.Context()))
		m, img, err := islay.ready(t.Context())
		require.NoError(t, err)
		m.Xen = filepath.Join(t.TempDir(), "no-such-xen")
		err = islay.start(t.Context(), m, img, "")
		require.ErrorContains(t, err, "no-such-xen", "what QEMU said")
		assert.Equal(t, 1, l.Retried())
		assert.False(t, islay.Running())
	})
}

func testRunner(t *testing.T, h *Host) {
	ctx := t.Context()
	odd := []string{"printf", `%s|`, "", "a b", "it's", `\`, "$HOME", "*", "a\nb", "é", "-x"}
	out, err := h.Run(ctx, odd...)
	require.NoError(t, err)
	assert.Equal(t, strings.Join(odd[2:], "|")+"|", string(out))

	blob := make([]byte, 1<<20)
	_, _ = rand.Read(blob)
	var back bytes.Buffer
	require.NoError(t, h.Runner().Run(ctx, dom0.Cmd{Args: []string{"cat"}, Stdin: bytes.NewReader(blob), Stdout: &back}))
	assert.True(t, bytes.Equal(blob, back.Bytes()), "streams carry bytes as they are")

	back.Reset()
	require.NoError(t, h.Runner().Run(ctx, dom0.Cmd{Args: []string{"sh", "-c", `echo "$A $LC_ALL"`}, Env: []string{"A=x y", "LC_ALL=no"}, Stdout: &back}))
	assert.Equal(t, "x y C\n", back.String())

	var failed *dom0.Error
	_, err = h.Run(ctx, "sh", "-c", "echo why >&2; exit 5")
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, 5, failed.ExitCode)
	assert.Equal(t, "why\n", failed.Stderr)
	assert.NoError(t, failed.Err)
	_, err = h.Run(ctx, "no-such-command")
	require.ErrorIs(t, err, exec.ErrNotFound)

	// What is cut short is gone in dom0 too, with its children.
	short, cancel := context.WithCancel(ctx)
	started := writerFunc(func(p []byte) { cancel() })
	err = h.Runner().Run(short, dom0.Cmd{Args: []string{"sh", "-c", "sleep 4711 & echo on; sleep 4711"}, Stdout: started})
	require.ErrorIs(t, err, context.Canceled)
	_, err = h.Run(ctx, "pgrep", "-f", "sleep 4711")
	require.ErrorAs(t, err, &failed, "nobody sleeps")
	assert.Equal(t, 1, failed.ExitCode)

	// What must not be killed sees its input end instead, and is waited for.
	short, cancel = context.WithCancel(ctx)
	started = func(p []byte) { cancel() }
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	defer r.Close()
	err = h.Runner().Run(short, dom0.Cmd{Args: []string{"sh", "-c", "echo on; cat; touch /run/lab/ended"}, Stdin: r, Stdout: started, NoKill: true})
	require.ErrorIs(t, err, context.Canceled)
	_, err = h.Run(ctx, "test", "-e", "/run/lab/ended")
	require.NoError(t, err)
}

type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

func testCopies(t *testing.T, h *Host) {
	ctx := t.Context()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "in/deep"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "in/deep/a b"), []byte("one"), 0o640))
	require.NoError(t, h.Put(ctx, filepath.Join(dir, "in"), "/root/new/tree"))
	got, err := h.Read(ctx, "/root/new/tree/deep/a b")
	require.NoError(t, err)
	assert.Equal(t, "one", string(got))
	require.NoError(t, h.Write(ctx, "/root/new/x", []byte("two"), 0o755))
	mode, err := h.Run(ctx, "stat", "-c", "%a %u", "/root/new/x", "/root/new/tree/deep/a b")
	require.NoError(t, err)
	assert.Equal(t, "755 0\n640 0\n", string(mode))
	require.NoError(t, h.Get(ctx, "/root/new/x", filepath.Join(dir, "x")))
	got, err = os.ReadFile(filepath.Join(dir, "x"))
	require.NoError(t, err)
	assert.Equal(t, "two", string(got))
	require.Error(t, h.Get(ctx, "/root/none", filepath.Join(dir, "none")))
	require.Error(t, h.Put(ctx, filepath.Join(dir, "none2"), "/root/none2"))
}

// testState keeps a moment under a name of its own, so that what a contributor
// kept stays.
func testState(t *testing.T, h *Host) {
	ctx := t.Context()
	require.NoError(t, h.Write(ctx, "/run/in-memory", []byte("x"), 0o600))
	require.NoError(t, h.save(ctx, "test"))
	require.NoError(t, h.Write(ctx, "/root/later", []byte("x"), 0o600))
	require.NoError(t, h.Kill(ctx))
	m, img, err := h.ready(ctx)
	require.NoError(t, err)
	require.NoError(t, h.start(ctx, m, img, "test"))
	_, err = h.Read(ctx, "/run/in-memory")
	require.NoError(t, err, "memory is as it was")
	_, err = h.Read(ctx, "/root/later")
	require.Error(t, err, "and so are the disks")
	_, err = monitor(ctx, h.runFile(".qmp"), "delvm test")
	require.NoError(t, err)
}

func testPowerFailure(t *testing.T, h *Host) {
	ctx := t.Context()
	_, err := h.Run(ctx, "lvcreate", "-qq", "-y", "-L", "8M", "-n", "stays", "guests")
	require.NoError(t, err)
	require.NoError(t, h.Write(ctx, "/root/synced", []byte("x"), 0o600))
	_, err = h.Run(ctx, "sync")
	require.NoError(t, err)
	before, err := h.Read(ctx, "/proc/sys/kernel/random/boot_id")
	require.NoError(t, err)

	require.NoError(t, h.Kill(ctx))
	assert.False(t, h.Running())
	_, err = h.Run(ctx, "true")
	require.Error(t, err)

	require.NoError(t, h.Boot(ctx))
	after, err := h.Read(ctx, "/proc/sys/kernel/random/boot_id")
	require.NoError(t, err)
	assert.NotEqual(t, string(before), string(after), "a new boot")
	_, err = h.Read(ctx, "/root/synced")
	require.NoError(t, err, "what was synced is there")
	_, err = h.Run(ctx, "test", "-b", "/dev/guests/stays")
	require.NoError(t, err)
	require.ErrorContains(t, h.Boot(ctx), "it runs")
}
