package dom0_test

import (
	"bytes"
	"context"
	"io/fs"
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

func TestLocalStreams(t *testing.T) {
	leavesNothing(t)
	var out, said bytes.Buffer
	cmd := sh(`cat; echo done >&2; echo "$LC_ALL $A"`)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("in\n"), &out, &said
	cmd.Env = []string{"A=b", "LC_ALL=de_DE.UTF-8"}
	require.NoError(t, dom0.Local{}.Run(t.Context(), cmd))
	assert.Equal(t, "in\nC b\n", out.String())
	assert.Equal(t, "done\n", said.String())
}

func TestLocalOutput(t *testing.T) {
	out, err := dom0.Output(t.Context(), dom0.Local{}, "printf", "%s|", "a b", "$HOME", "", "*")
	require.NoError(t, err)
	assert.Equal(t, "a b|$HOME||*|", string(out), "no shell touches the arguments")
}

func TestLocalNoStdin(t *testing.T) {
	out, err := dom0.Output(t.Context(), dom0.Local{}, "readlink", "/proc/self/fd/0")
	require.NoError(t, err)
	assert.Equal(t, "/dev/null\n", string(out))
}

func TestLocalFilesAreHandedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte("from a file"), 0o600))
	in, err := os.Open(path)
	require.NoError(t, err)
	defer in.Close()
	out, err := os.Create(path + ".out")
	require.NoError(t, err)
	defer out.Close()
	for _, noKill := range []bool{false, true} {
		_, err = in.Seek(0, 0)
		require.NoError(t, err)
		require.NoError(t, dom0.Local{}.Run(t.Context(), dom0.Cmd{Args: []string{"cat"}, Stdin: in, Stdout: out, NoKill: noKill}))
	}
	got, err := os.ReadFile(path + ".out")
	require.NoError(t, err)
	assert.Equal(t, "from a filefrom a file", string(got))
}

func TestLocalExitCode(t *testing.T) {
	for _, noKill := range []bool{false, true} {
		cmd := sh("echo; echo not enough space >&2; echo more >&2; exit 5")
		cmd.NoKill = noKill
		failed := failure(t, dom0.Local{}.Run(t.Context(), cmd))
		assert.Equal(t, 5, failed.ExitCode)
		assert.Equal(t, "not enough space\nmore\n", failed.Stderr)
		assert.Equal(t, cmd.Args, failed.Args)
		assert.NoError(t, failed.Err)
		assert.True(t, strings.HasSuffix(failed.Error(), ": exit 5: not enough space"), failed.Error())
	}
}

func TestLocalSignal(t *testing.T) {
	failed := failure(t, dom0.Local{}.Run(t.Context(), sh("kill -TERM $$")))
	assert.Equal(t, -1, failed.ExitCode)
	assert.ErrorContains(t, failed, "signal: terminated")
}

func TestLocalNotStarted(t *testing.T) {
	leavesNothing(t)
	plain := filepath.Join(t.TempDir(), "plain")
	require.NoError(t, os.WriteFile(plain, []byte("data"), 0o600))
	done, cancel := context.WithCancel(t.Context())
	cancel()
	mark := filepath.Join(t.TempDir(), "mark")

	for name, c := range map[string]struct {
		ctx  context.Context
		cmd  dom0.Cmd
		want error
		text string
	}{
		"missing":      {cmd: dom0.Cmd{Args: []string{"no-such-command"}}, want: exec.ErrNotFound},
		"missing path": {cmd: dom0.Cmd{Args: []string{"/no/such/command"}}, want: fs.ErrNotExist},
		"not runnable": {cmd: dom0.Cmd{Args: []string{plain}}, want: fs.ErrPermission},
		"done already": {ctx: done, cmd: dom0.Cmd{Args: []string{"touch", mark}}, want: context.Canceled},
		"no argv":      {text: "no command"},
		"empty name":   {cmd: dom0.Cmd{Args: []string{""}}, text: "no command"},
		"an option":    {cmd: dom0.Cmd{Args: []string{"-rf", "/"}}, text: "is an option"},
		"assignment":   {cmd: dom0.Cmd{Args: []string{"A=b"}}, text: "is an assignment"},
		"NUL":          {cmd: dom0.Cmd{Args: []string{"touch", mark, "a\x00b"}}, text: "NUL"},
		"bad env":      {cmd: dom0.Cmd{Args: []string{"touch", mark}, Env: []string{"A"}}, text: "KEY=value"},
		"NUL in env":   {cmd: dom0.Cmd{Args: []string{"touch", mark}, Env: []string{"A=\x00"}}, text: "KEY=value"},
	} {
		for _, noKill := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				ctx := c.ctx
				if ctx == nil {
					ctx = t.Context()
				}
				c.cmd.NoKill = noKill
				c.cmd.Stdin, c.cmd.Stdout = strings.NewReader("x"), &bytes.Buffer{}
				failed := failure(t, dom0.Local{}.Run(ctx, c.cmd))
				assert.Equal(t, -1, failed.ExitCode)
				assert.ErrorContains(t, failed, c.text)
				if c.want != nil {
					assert.ErrorIs(t, failed, c.want)
				}
				assert.NoFileExists(t, mark)
			})
		}
	}
}

func TestLocalLog(t *testing.T) {
	var text bytes.Buffer
	l := dom0.Local{Log: debugLog(&text), WaitDelay: time.Second}
	cmd := sh("cat >/dev/null; exit 3")
	cmd.Stdin = strings.NewReader("secret")
	require.Error(t, l.Run(t.Context(), cmd))
	require.NoError(t, l.Run(t.Context(), dom0.Cmd{Args: []string{"true"}}))
	assert.Contains(t, text.String(), "exit=3")
	assert.Contains(t, text.String(), "argv=[true]")
	assert.Contains(t, text.String(), "exit=0")
	assert.NotContains(t, text.String(), "secret")
}
