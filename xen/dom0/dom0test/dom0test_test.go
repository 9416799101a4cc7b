package dom0test_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/dom0/dom0test"
)

// fakeTB is a test whose failures are looked at. Fatalf must not be called
// where the caller goes on.
type fakeTB struct {
	testing.TB
	failed  []string
	cleanup []func()
}

func (f *fakeTB) Helper()                   {}
func (f *fakeTB) Failed() bool              { return len(f.failed) > 0 }
func (f *fakeTB) Logf(string, ...any)       {}
func (f *fakeTB) Error(args ...any)         { f.failed = append(f.failed, fmt.Sprint(args...)) }
func (f *fakeTB) Errorf(s string, a ...any) { f.failed = append(f.failed, fmt.Sprintf(s, a...)) }
func (f *fakeTB) Fatalf(s string, a ...any) { f.Errorf(s, a...); panic("fatal") }
func (f *fakeTB) Cleanup(fn func())         { f.cleanup = append(f.cleanup, fn) }
func (f *fakeTB) end() {
	for _, fn := range f.cleanup {
		fn()
	}
}

// tempNames makes the names of temporary files the same in every run.
func tempNames(dir string) *dom0test.Options {
	return &dom0test.Options{Rewrite: func(arg string) string { return strings.ReplaceAll(arg, dir, "TMP") }}
}

func sh(script string) dom0.Cmd { return dom0.Cmd{Args: []string{"sh", "-c", script}} }

// answers is everything that a caller sees of a command.
type answers struct {
	out, said string
	code      int
	text      string
}

func ask(ctx context.Context, r dom0.Runner, cmd dom0.Cmd) (answers, error) {
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := r.Run(ctx, cmd)
	a := answers{out: out.String(), said: said.String()}
	if failed, ok := errors.AsType[*dom0.Error](err); ok {
		a.code, a.text = failed.ExitCode, failed.Error()
	}
	return a, err
}

// commands are run for real, and again from the recording.
func commands(dir string) []dom0.Cmd {
	all := []dom0.Cmd{
		sh(`echo hello; echo warning >&2`),
		sh(`printf 'no newline'; printf 'here neither' >&2; exit 5`),
		sh(`head -c 1000 /dev/zero; printf '\377\n' >&2`),
		sh(`printf '%s\n' '-- 001/stdout --'`),
		sh(`printf 'a\r\n'`),
		sh(`kill -KILL $$`),
		sh(`cat; echo "$A"`),
		{Args: []string{"touch", filepath.Join(dir, "file with space")}},
		{Args: []string{"no-such-command", "", "ünï", "\xff"}},
		{Args: []string{"true"}, NoKill: true},
	}
	all[6].Stdin, all[6].Env = strings.NewReader("input\n"), []string{"A=" + dir + "/x"}
	all[6].Args[2] = `cat; basename "$A"`
	return all
}

func TestRecordAndReplay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "r.txtar")
	var first []answers
	t.Run("record", func(t *testing.T) {
		dir := t.TempDir()
		r := dom0test.Record(t, path, dom0.Local{}, tempNames(dir))
		for _, cmd := range commands(dir) {
			a, _ := ask(t.Context(), r, cmd)
			a.text = strings.ReplaceAll(a.text, dir, "TMP")
			first = append(first, a)
		}
	})
	t.Run("replay", func(t *testing.T) {
		dir := t.TempDir()
		r := dom0test.Replay(t, path, tempNames(dir))
		for i, cmd := range commands(dir) {
			a, err := ask(t.Context(), r, cmd)
			a.text = strings.ReplaceAll(a.text, dir, "TMP")
			assert.Equal(t, first[i], a, "%q", cmd.Args)
			assert.Equal(t, i == 8, errors.Is(err, exec.ErrNotFound), "%v", err)
		}
	})
}

func TestCancelledCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.txtar")
	for _, open := range []func(t *testing.T) dom0.Runner{
		func(t *testing.T) dom0.Runner { return dom0test.Record(t, path, dom0.Local{}, nil) },
		func(t *testing.T) dom0.Runner { return dom0test.Replay(t, path, nil) },
	} {
		t.Run("", func(t *testing.T) {
			r := open(t)
			ctx, cancel := context.WithTimeout(t.Context(), 1)
			defer cancel()
			err := r.Run(ctx, sh("sleep 1000"))
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorIs(t, ctx.Err(), context.DeadlineExceeded, "the caller's context has ended, too")
		})
	}
}

// tools is the recording that the tests below read: two commands.
func tools(t *fakeTB) dom0.Runner {
	return dom0test.Replay(t, "testdata/tools.txtar", nil)
}

func TestTools(t *testing.T) {
	r := dom0test.Open(t, "testdata/tools.txtar", dom0.Local{}, nil)
	out, err := dom0.Output(t.Context(), r, "expr", "6", "*", "7")
	require.NoError(t, err)
	assert.Equal(t, "42\n", string(out))
	err = r.Run(t.Context(), dom0.Cmd{Args: []string{"cat", "/no such file"}, Stdin: strings.NewReader("")})
	assert.ErrorContains(t, err, `exit 1: cat: '/no such file'`)
}

func TestReplayIsStrict(t *testing.T) {
	six := dom0.Cmd{Args: []string{"expr", "6", "*", "7"}}
	cat := dom0.Cmd{Args: []string{"cat", "/no such file"}}
	withInput := func(c dom0.Cmd, in string) dom0.Cmd { c.Stdin = strings.NewReader(in); return c }
	for name, c := range map[string]struct {
		run  []dom0.Cmd
		want string
	}{
		"other argument": {[]dom0.Cmd{{Args: []string{"expr", "6", "+", "7"}}},
			"command 1 is another one (- recorded, + now):\n- expr 6 \"*\" 7\n+ expr 6 + 7\n  argument 2: \"*\", now +\n"},
		"one less": {[]dom0.Cmd{{Args: []string{"expr", "6"}}}, "argument 2: \"*\", now nothing"},
		"order":    {[]dom0.Cmd{cat, six}, "command 1 is another one"},
		"too many": {[]dom0.Cmd{six, withInput(cat, ""), six}, "ends after 2 commands, and this one came:\n+ expr 6 \"*\" 7"},
		"too few":  {[]dom0.Cmd{six}, "1 of 2 commands were not run:\n- cat \"/no such file\""},
		"input":    {[]dom0.Cmd{six, withInput(cat, "x")}, "\n+ stdin: 1 sha256:2d71"},
		"no input": {[]dom0.Cmd{six, cat}, "- stdin: 0 sha256:e3b0"},
		"env":      {[]dom0.Cmd{{Args: six.Args, Env: []string{"A=b"}}}, "+ env: A=b"},
		"nokill":   {[]dom0.Cmd{{Args: six.Args, NoKill: true}}, "+ nokill: true"},
	} {
		t.Run(name, func(t *testing.T) {
			tb := &fakeTB{TB: t}
			r := tools(tb)
			var last error
			for _, cmd := range c.run {
				last = r.Run(t.Context(), cmd)
			}
			tb.end()
			require.Len(t, tb.failed, 1, "one difference, one failure")
			assert.Contains(t, tb.failed[0], c.want)
			if name != "too few" {
				_, ok := errors.AsType[*dom0.Error](last)
				assert.True(t, ok, "%T", last)
			}
		})
	}
}

func TestReplayWithoutRecording(t *testing.T) {
	tb := &fakeTB{TB: t}
	assert.Panics(t, func() { dom0test.Replay(tb, filepath.Join(t.TempDir(), "none"), nil) })
	assert.Contains(t, tb.failed[0], "make it with XENHOST_RECORD=1")
}

func TestFailedTestKeepsTheRecording(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.txtar")
	require.NoError(t, os.WriteFile(path, []byte("good"), 0o600))
	tb := &fakeTB{TB: t}
	r := dom0test.Record(tb, path, dom0.Local{}, nil)
	require.NoError(t, r.Run(t.Context(), sh("true")))
	tb.Errorf("not what I wanted")
	tb.end()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "good", string(got))
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.txtar")
	answer := func(text string) dom0.Runner {
		return dom0test.Func(func(_ context.Context, cmd dom0.Cmd) error {
			_, err := cmd.Stdout.Write([]byte(text))
			return err
		})
	}
	for _, c := range []struct {
		record string
		real   dom0.Runner
		want   string
	}{
		{"1", answer("one"), "one"},
		{"", answer("two"), "one"},
		{"1", nil, "one"},
		{"1", answer("three"), "three"},
		{"0", answer("four"), "three"},
	} {
		t.Run("", func(t *testing.T) {
			t.Setenv(dom0test.RecordEnv, c.record)
			out, err := dom0.Output(t.Context(), dom0test.Open(t, path, c.real, nil), "question")
			require.NoError(t, err)
			assert.Equal(t, c.want, string(out))
		})
	}
}

func TestConcurrentCallers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.txtar")
	running := 0 // unguarded: the race detector and the count see an overlap
	next := dom0test.Func(func(context.Context, dom0.Cmd) error {
		running++
		assert.Equal(t, 1, running)
		running--
		return nil
	})
	many := func(t *testing.T, r dom0.Runner) {
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { assert.NoError(t, r.Run(t.Context(), dom0.Cmd{Args: []string{"same"}})) })
		}
		all.Wait()
	}
	t.Run("record", func(t *testing.T) { many(t, dom0test.Record(t, path, next, nil)) })
	t.Run("replay", func(t *testing.T) { many(t, dom0test.Replay(t, path, nil)) })
}
