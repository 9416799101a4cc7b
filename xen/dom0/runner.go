// Package dom0 is the one seam through which the SDK runs commands: argv and
// streams in, a typed error out, never a shell.
package dom0

import (
	"bytes"
	"context"
	"io"
)

// Runner runs commands in one host's dom0. Local runs them here; the package
// dom0test records and replays them.
type Runner interface {
	// Run runs cmd until it ends. A command that could not be started, ended
	// with a non-zero exit code or by a signal, or was cut short by ctx
	// returns *Error; a cut-short one also satisfies errors.Is with ctx's error.
	Run(ctx context.Context, cmd Cmd) error
}

// Cmd is one command. Only Args is required.
type Cmd struct {
	// Args is the argv; Args[0] is looked up in PATH.
	Args []string
	// Stdin is what the command reads; nil is /dev/null.
	Stdin io.Reader
	// Stdout receives what the command prints; nil discards it.
	Stdout io.Writer
	// Stderr receives a copy of what the command says while it runs. Its
	// first and last part are in *Error anyway; xl also talks when it exits 0.
	// Stdout and Stderr are written at the same time: give each its own.
	Stderr io.Writer
	// Env is added to the environment, as "KEY=value". LC_ALL is always C.
	Env []string
	// NoKill marks a command that must not be killed once it runs, because
	// half of its work can not be undone from outside (xl migrate, save,
	// restore). When ctx ends, its stdin and stdout are closed instead and Run
	// waits for it to end by itself.
	NoKill bool
}

// Output runs argv with no input and returns what it printed on stdout.
func Output(ctx context.Context, r Runner, argv ...string) ([]byte, error) {
	var out bytes.Buffer
	err := r.Run(ctx, Cmd{Args: argv, Stdout: &out})
	return out.Bytes(), err
}
