package dom0test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/xenhost/xenhost/xen/dom0"
)

// Record returns a Runner that passes commands to next, one at a time, and
// writes them with their answers to path when the test ends. A test that failed
// leaves path as it was.
//
// Since commands are serialised, two that feed each other through a pipe can
// not be recorded: the first would wait for the second for ever.
func Record(t testing.TB, path string, next dom0.Runner, opts *Options) dom0.Runner {
	t.Helper()
	r := &recorder{t: t, next: next, opts: opts}
	t.Cleanup(func() { r.save(path) })
	return r
}

type recorder struct {
	t    testing.TB
	next dom0.Runner
	opts *Options

	mu  sync.Mutex
	all []exchange
}

func (r *recorder) Run(ctx context.Context, cmd dom0.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := exchange{request: request{
		args: r.opts.rewrite(cmd.Args), env: r.opts.rewrite(cmd.Env), noKill: cmd.NoKill,
	}}
	var stdout, stderr bytes.Buffer
	var stdin *digester
	if cmd.Stdin != nil {
		stdin = newDigester(cmd.Stdin)
		cmd.Stdin = stdin
	}
	if cmd.Stdout != nil {
		cmd.Stdout = io.MultiWriter(&stdout, cmd.Stdout)
	}
	if cmd.Stderr != nil {
		cmd.Stderr = io.MultiWriter(&stderr, cmd.Stderr)
	} else {
		cmd.Stderr = &stderr
	}

	err := r.next.Run(ctx, cmd)

	x.stdout, x.stderr = slices.Clip(stdout.Bytes()), slices.Clip(stderr.Bytes())
	if stdin != nil {
		x.stdin = stdin.String()
	}
	if strange := x.answer(err); strange != nil {
		r.t.Error(strange)
		return err
	}
	r.all = append(r.all, x)
	return err
}

func (r *recorder) save(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.t.Failed() {
		r.t.Logf("dom0test: the test failed, %s is not written", path)
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Errorf("dom0test: %v", err)
		return
	}
	if err := os.WriteFile(path, format(r.all), 0o644); err != nil {
		r.t.Errorf("dom0test: %v", err)
	}
}
