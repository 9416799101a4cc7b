package xenlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xenhost/xenhost/xen/dom0"
)

// Run runs argv in the host's dom0 and returns what it printed on stdout.
func (h *Host) Run(ctx context.Context, argv ...string) ([]byte, error) {
	return dom0.Output(ctx, h.Runner(), argv...)
}

// Runner returns the host's dom0 as seen from here, over ssh. It keeps
// dom0.Runner's promises: what ctx cuts short is killed there with its
// children, a command that is not there is exec.ErrNotFound.
//
// A command that exits 255 can not be told from a connection that failed.
func (h *Host) Runner() dom0.Runner { return runner{h} }

type runner struct{ host *Host }

func (r runner) Run(ctx context.Context, cmd dom0.Cmd) error {
	fail := func(code int, said string, err error) error {
		return &dom0.Error{Args: cmd.Args, ExitCode: code, Stderr: said, Err: err}
	}
	if len(cmd.Args) == 0 {
		return fail(-1, "", errors.New("no command"))
	}
	words := slices.Concat([]string{"env"}, cmd.Env, []string{"LC_ALL=C"}, cmd.Args)
	if cmd.NoKill { // as dom0.Local does it
		words = slices.Insert(words, 1, "--ignore-signal=PIPE")
	}
	if strings.ContainsRune(strings.Join(words, ""), 0) {
		return fail(-1, "", errors.New("a word has a zero byte in it"))
	}
	if err := ctx.Err(); err != nil {
		return fail(-1, "", err)
	}
	// The command takes over from the shell, which leads a session of its own.
	pid := r.host.commandFile()
	ssh := r.host.ssh(context.WithoutCancel(ctx), []string{"-o", "BatchMode=yes"}, "echo $$ >"+pid+" && exec "+quote(words...))
	var said tail
	ssh.Stdin, ssh.Stdout, ssh.Stderr = cmd.Stdin, cmd.Stdout, io.Writer(&said)
	if cmd.Stderr != nil {
		ssh.Stderr = io.MultiWriter(&said, cmd.Stderr)
	}
	ssh.WaitDelay = 10 * time.Second
	cut := func() { r.kill(ctx, pid, ssh) }
	if cmd.NoKill {
		var err error
		if cut, err = closeable(ssh); err != nil {
			return fail(-1, "", err)
		}
	}
	if err := r.host.lab.internet().Do(ssh.Start); err != nil {
		return fail(-1, "", err)
	}
	var cutting sync.WaitGroup
	cutting.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer cutting.Done()
		cut()
	})
	err := ssh.Wait()
	wasCut := !stop()
	if wasCut {
		cutting.Wait()
	}
	if err == nil && !wasCut {
		return nil
	}
	code := -1
	if state := ssh.ProcessState; state != nil {
		code = state.ExitCode()
	}
	switch {
	case wasCut:
		return fail(code, said.String(), ctx.Err())
	case code == 127: // what env says of a command that is not there
		return fail(-1, said.String(), exec.ErrNotFound)
	case code > 0:
		return fail(code, said.String(), nil)
	}
	return fail(-1, said.String(), err)
}

// kill ends a command in dom0, with its children, and then the ssh here.
func (r runner) kill(ctx context.Context, pid string, ssh *exec.Cmd) {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	_ = r.host.lab.internet().run(r.host.ssh(late, []string{"-o", "BatchMode=yes"}, "kill -KILL -- -$(cat "+pid+")"))
	_ = ssh.Process.Kill()
}

// closeable makes the streams of a command such that the returned function
// closes them.
func closeable(cmd *exec.Cmd) (func(), error) {
	closeIn := func() {}
	if from := cmd.Stdin; from != nil {
		cmd.Stdin = nil
		to, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		go func() {
			_, _ = io.Copy(to, from)
			to.Close()
		}()
		closeIn = func() { to.Close() }
	}
	out := &gate{to: cmd.Stdout}
	if cmd.Stdout != nil {
		cmd.Stdout = out
	}
	return func() {
		closeIn()
		out.close()
	}, nil
}

// A gate is a writer that can be closed while others write to it.
type gate struct {
	mu     sync.Mutex
	to     io.Writer
	closed bool
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return 0, os.ErrClosed
	}
	return g.to.Write(p)
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// commandFile names the file in dom0 that holds a command's PID.
func (h *Host) commandFile() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count++
	return fmt.Sprintf("/run/lab/%d.%d", os.Getpid(), h.count)
}
