package dom0test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/xenhost/xenhost/xen/dom0"
)

// Replay returns a Runner that answers from the recording at path. Each command
// must be the next one of the recording: the first that differs fails the test
// with the difference, and from then on every Run returns an error. Commands
// that were never run fail the test when it ends.
//
// A command whose context ended in the recording waits for ctx to end, unless
// ctx never does.
func Replay(t testing.TB, path string, opts *Options) dom0.Runner {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("dom0test: %v; make it with %s=1 where the commands exist", err, RecordEnv)
	}
	all, err := parse(data)
	if err != nil {
		t.Fatalf("dom0test: %s: %v", path, err)
	}
	r := &player{t: t, path: path, opts: opts, all: all}
	t.Cleanup(r.done)
	return r
}

type player struct {
	t    testing.TB
	path string
	opts *Options

	mu   sync.Mutex
	all  []exchange
	next int
	lost bool // a command differed
}

func (p *player) Run(ctx context.Context, cmd dom0.Cmd) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	x, err := p.match(cmd)
	if err != nil {
		return &dom0.Error{Args: slices.Clone(cmd.Args), ExitCode: -1, Err: err}
	}
	if ctx.Done() != nil && (slices.Contains(x.is, "canceled") || slices.Contains(x.is, "deadline")) {
		<-ctx.Done()
	}
	var broken error
	if cmd.Stdout != nil && len(x.stdout) > 0 {
		_, broken = cmd.Stdout.Write(x.stdout)
	}
	if cmd.Stderr != nil && len(x.stderr) > 0 {
		_, err := cmd.Stderr.Write(x.stderr)
		broken = errors.Join(broken, err)
	}
	if broken != nil {
		return &dom0.Error{Args: slices.Clone(cmd.Args), ExitCode: x.exit, Stderr: string(x.stderr), Err: broken}
	}
	return x.failure(cmd.Args)
}

var errLost = errors.New("dom0test: not the recorded command")

// match takes the next exchange if cmd is its command.
func (p *player) match(cmd dom0.Cmd) (*exchange, error) {
	if p.lost {
		return nil, errLost
	}
	now := request{args: p.opts.rewrite(cmd.Args), env: p.opts.rewrite(cmd.Env), noKill: cmd.NoKill}
	if p.next == len(p.all) {
		p.lost = true
		p.t.Errorf("dom0test: %s ends after %d commands, and this one came:\n+ %s", p.path, p.next, commandLine(now.args))
		return nil, errLost
	}
	x := &p.all[p.next]
	if cmd.Stdin != nil {
		now.stdin = partial
		if x.stdin != partial {
			in := newDigester(cmd.Stdin)
			if _, err := io.Copy(io.Discard, in); err != nil {
				return nil, fmt.Errorf("dom0test: stdin: %w", err)
			}
			now.stdin = in.String()
		}
	}
	p.next++
	if diff := difference(x.request, now); diff != "" {
		p.lost = true
		p.t.Errorf("dom0test: %s: command %d is another one (- recorded, + now):\n%s", p.path, p.next, diff)
		return nil, errLost
	}
	return x, nil
}

func (p *player) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost || p.next == len(p.all) {
		return
	}
	var left strings.Builder
	for _, x := range p.all[p.next:] {
		left.WriteString("\n- " + commandLine(x.args))
	}
	p.t.Errorf("dom0test: %s: %d of %d commands were not run:%s", p.path, len(p.all)-p.next, len(p.all), left.String())
}

// difference returns "" for equal requests, else lines with - and +, and the
// first argument that differs.
func difference(recorded, now request) string {
	var b strings.Builder
	if !slices.Equal(recorded.args, now.args) {
		fmt.Fprintf(&b, "- %s\n+ %s\n", commandLine(recorded.args), commandLine(now.args))
		at := 0
		for at < min(len(recorded.args), len(now.args)) && recorded.args[at] == now.args[at] {
			at++
		}
		fmt.Fprintf(&b, "  argument %d: %s, now %s\n", at, nth(recorded.args, at), nth(now.args, at))
	}
	if !slices.Equal(recorded.env, now.env) {
		fmt.Fprintf(&b, "- env: %s\n+ env: %s\n", commandLine(recorded.env), commandLine(now.env))
	}
	if recorded.stdin != now.stdin {
		fmt.Fprintf(&b, "- stdin: %s\n+ stdin: %s\n", recorded.stdin, now.stdin)
	}
	if recorded.noKill != now.noKill {
		fmt.Fprintf(&b, "- nokill: %t\n+ nokill: %t\n", recorded.noKill, now.noKill)
	}
	return b.String()
}

func nth(args []string, i int) string {
	if i >= len(args) {
		return "nothing"
	}
	return word(args[i])
}
