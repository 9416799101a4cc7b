package dom0_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/dom0"
)

// run starts cmd and returns what it will return.
func run(ctx context.Context, l dom0.Local, cmd dom0.Cmd) <-chan error {
	result := make(chan error, 1)
	go func() { result <- l.Run(ctx, cmd) }()
	return result
}

func result(t *testing.T, c <-chan error) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(patience):
		require.FailNow(t, "Run hangs")
		return nil
	}
}

func TestCancelKillsTheGroup(t *testing.T) {
	leavesNothing(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	out := newTalk(t)
	cmd := sh(`trap '' TERM; sleep 1000 & echo $!; wait`)
	cmd.Stdout = out
	c := run(ctx, dom0.Local{}, cmd)
	child := out.line(t)
	require.False(t, gone(child))

	cancel(errors.New("the operator changed his mind"))
	failed := failure(t, result(t, c))
	assert.ErrorIs(t, failed, context.Canceled)
	assert.Equal(t, -1, failed.ExitCode)
	assert.ErrorContains(t, failed, ": context canceled: the operator changed his mind: signal: killed")
	assert.Eventually(t, func() bool { return gone(child) }, patience, time.Millisecond, "the grandchild lives")
}

func TestDeadline(t *testing.T) {
	leavesNothing(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	failed := failure(t, dom0.Local{}.Run(ctx, dom0.Cmd{Args: []string{"sleep", "1000"}}))
	assert.ErrorIs(t, failed, context.DeadlineExceeded)
	assert.Equal(t, "sleep 1000: context deadline exceeded: signal: killed", failed.Error())
}

func TestNoKillEndsByItself(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		exit   int
	}{
		"sees the end of its input":     {`echo ready; cat >/dev/null; sleep 0.1; echo saved >"$1"; exit 7`, 7},
		"sees that nobody reads":        {`echo ready; while echo more; do :; done; echo saved >"$1"; exit 3`, 3},
		"sees nothing and goes on":      {`echo ready; exec <&- >&-; sleep 0.1; echo saved >"$1"`, 0},
		"may talk as much as it likes":  {`echo ready; cat >/dev/null; head -c 3000000 /dev/zero >&2; echo saved >"$1"`, 0},
		"has a child that goes on, too": {`exec 3<&0; echo ready; (cat <&3 >/dev/null; echo saved >"$1") & wait`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			saved := filepath.Join(t.TempDir(), "saved")
			ctx, cancel := context.WithCancel(t.Context())
			in, feed := io.Pipe() // never ends by itself
			t.Cleanup(func() { feed.Close() })
			out := newTalk(t)
			cmd := sh(c.script, saved)
			cmd.Stdin, cmd.Stdout, cmd.NoKill = in, out, true
			ended := run(ctx, dom0.Local{WaitDelay: 50 * time.Millisecond}, cmd)
			require.Equal(t, "ready", out.line(t))
			go func() { _, _ = io.Copy(io.Discard, out.lines) }()

			cancel()
			failed := failure(t, result(t, ended))
			assert.ErrorIs(t, failed, context.Canceled)
			assert.Equal(t, c.exit, failed.ExitCode)
			assert.FileExists(t, saved)
		})
	}
}

// TestNoKillOutlivesUs kills the process that called Run; the command must
// finish its work, and may still print and complain.
func TestNoKillOutlivesUs(t *testing.T) {
	const env = "DOM0_TEST_CALLER"
	if saved := os.Getenv(env); saved != "" {
		in, _ := io.Pipe()
		cmd := sh(`echo $$ >"$1.pid"; cat >/dev/null; echo out; echo err >&2; echo saved >"$1"`, saved)
		cmd.Stdin, cmd.Stdout, cmd.NoKill = in, io.Discard, true
		t.Fatal(dom0.Local{}.Run(t.Context(), cmd))
	}
	saved := filepath.Join(t.TempDir(), "saved")
	caller := exec.Command(os.Args[0], "-test.run=^TestNoKillOutlivesUs$")
	caller.Env = append(os.Environ(), env+"="+saved)
	require.NoError(t, caller.Start())
	started := assert.Eventually(t, func() bool {
		pid, err := os.ReadFile(saved + ".pid")
		return err == nil && bytes.HasSuffix(pid, []byte("\n"))
	}, patience, 5*time.Millisecond)
	require.NoError(t, caller.Process.Kill())
	require.Error(t, caller.Wait())
	require.True(t, started)
	assert.Eventually(t, func() bool {
		got, err := os.ReadFile(saved)
		return err == nil && string(got) == "saved\n"
	}, patience, 5*time.Millisecond, "the command died with its caller")
}
