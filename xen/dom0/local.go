package dom0

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Local runs commands on this machine, which is the dom0. The zero value is
// ready to use, and safe for goroutines.
//
// Every command gets a process group of its own, so a Ctrl-C in the operator's
// terminal does not reach it. When ctx ends the whole group is killed with
// SIGKILL: a milder signal would leave it to the command whether Run returns,
// and what must not be stopped half-way is marked Cmd.NoKill instead. A process
// that made itself a session of its own, as daemons do, is not in the group.
//
// Run returns when the command has ended and everything that it wrote itself
// was delivered. A process left behind that still holds the command's stdout or
// stderr (the monitor that xl create leaves may, for a moment) is waited for no
// longer than WaitDelay, and what it says later is lost; that is no error.
//
// A Stdin or Stdout that blocks can not be interrupted: Run waits WaitDelay for
// it after the command or ctx ended, then returns, and one goroutine remains
// until that call returns. What it had read from Stdin by then is lost. An
// *os.File as Stdin or Stdout is handed to the command itself, unless NoKill.
//
// A NoKill command is started by env --ignore-signal=PIPE (coreutils 8.31): it
// lives on when ctx ends, and when this process dies, and sees EPIPE where it
// writes to a pipe that nobody reads any more.
type Local struct {
	// Log receives one Debug record per command: argv, duration, exit code.
	// Never what goes in or comes out. nil is silent.
	Log *slog.Logger
	// WaitDelay is the patience described above; 0 means 2 seconds.
	WaitDelay time.Duration
}

var _ Runner = Local{}

// Run runs cmd; see Runner. A ctx that is done already starts nothing.
func (l Local) Run(ctx context.Context, cmd Cmd) error {
	start := time.Now()
	failed := l.run(ctx, cmd)
	l.log(ctx, cmd.Args, time.Since(start), failed)
	if failed != nil {
		return failed
	}
	return nil
}

func (l Local) run(ctx context.Context, cmd Cmd) *Error {
	failed := &Error{Args: slices.Clone(cmd.Args), ExitCode: -1}
	if failed.Err = cmd.check(); failed.Err != nil {
		return failed
	}
	if failed.Err = contextError(ctx); failed.Err != nil {
		return failed
	}

	c, err := command(cmd)
	if err != nil {
		failed.Err = err
		return failed
	}
	c.Env = slices.Concat(os.Environ(), cmd.Env, []string{"LC_ALL=C"})
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s, err := connect(c, cmd)
	if err != nil {
		failed.Err = err
		return failed
	}
	if failed.Err = c.Start(); failed.Err != nil {
		s.abandon()
		return failed
	}
	s.start()

	cut := await(ctx, c.Process.Pid, func() {
		if cmd.NoKill {
			s.cut()
			return
		}
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	})
	waitErr := c.Wait() // reaps; there is nothing left to wait for
	unclean := s.finish(ctx, l.waitDelay(), cut != nil)

	failed.ExitCode = c.ProcessState.ExitCode()
	if failed.ExitCode > 0 {
		waitErr = nil // ExitCode says it
	}
	failed.Err = chain(cut, unclean, waitErr)
	failed.Stderr = s.said.String()
	if failed.ExitCode == 0 && failed.Err == nil {
		return nil
	}
	return failed
}

// command returns cmd ready to start. What must not be killed runs with SIGPIPE
// ignored, so that a closed pipe is an error (EPIPE) that it can handle: xl save
// does not ignore it by itself, and would die with its guest suspended. Only
// env(1) can do that to one child alone.
func command(cmd Cmd) (*exec.Cmd, error) {
	if !cmd.NoKill {
		return exec.Command(cmd.Args[0], cmd.Args[1:]...), nil
	}
	path, err := exec.LookPath(cmd.Args[0])
	if err != nil {
		return nil, err
	}
	return exec.Command("env", slices.Concat([]string{"--ignore-signal=PIPE", path}, cmd.Args[1:])...), nil
}

// await returns when the process has ended, and leaves it to be reaped: until
// then its number belongs to no other process and no other group. If ctx ends
// first, await calls stop, goes on waiting, and returns ctx's error.
func await(ctx context.Context, pid int, stop func()) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		stop()
		<-ended
		return contextError(ctx)
	}
}

// check refuses what could not mean what the caller intended.
func (c Cmd) check() error {
	switch {
	case len(c.Args) == 0 || c.Args[0] == "":
		return errors.New("dom0: no command given")
	case strings.HasPrefix(c.Args[0], "-"):
		return fmt.Errorf("dom0: %q is an option, not a command", c.Args[0])
	case strings.Contains(c.Args[0], "="):
		return fmt.Errorf("dom0: %q is an assignment, not a command", c.Args[0])
	}
	for _, arg := range c.Args {
		if strings.ContainsRune(arg, 0) {
			return fmt.Errorf("dom0: argument %q contains a NUL byte", arg)
		}
	}
	for _, kv := range c.Env {
		if strings.ContainsRune(kv, 0) || strings.Index(kv, "=") < 1 {
			return fmt.Errorf("dom0: environment %q is not KEY=value", kv)
		}
	}
	return nil
}

// contextError returns ctx's error, with its cause if that says more.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if err == nil || errors.Is(err, cause) {
		return err
	}
	return chain(err, cause)
}

// chain joins errors on one line; errors.Is finds each of them.
func chain(errs ...error) error {
	var all error
	for _, err := range errs {
		switch {
		case err == nil:
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w: %w", all, err)
		}
	}
	return all
}

func (l Local) waitDelay() time.Duration {
	if l.WaitDelay > 0 {
		return l.WaitDelay
	}
	return 2 * time.Second
}

func (l Local) log(ctx context.Context, argv []string, took time.Duration, failed *Error) {
	if l.Log == nil {
		return
	}
	attrs := []slog.Attr{slog.Any("argv", argv), slog.Duration("took", took)}
	switch {
	case failed == nil:
		attrs = append(attrs, slog.Int("exit", 0))
	case failed.Err == nil:
		attrs = append(attrs, slog.Int("exit", failed.ExitCode))
	default:
		attrs = append(attrs, slog.Int("exit", failed.ExitCode), slog.Any("err", failed.Err))
	}
	l.Log.LogAttrs(ctx, slog.LevelDebug, "command", attrs...)
}
