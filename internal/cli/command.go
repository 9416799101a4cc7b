package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/xenhost/xenhost/xen/host"
)

// Flags are the ones that every command has.
type Flags struct {
	Settings string
	JSON     bool
	Verbose  bool
}

// Add adds them to a command.
func (f *Flags) Add(c *cobra.Command) {
	c.PersistentFlags().StringVar(&f.Settings, "settings", DefaultSettings, "the host's settings, a JSON file")
	c.PersistentFlags().BoolVar(&f.JSON, "json", false, "print JSON")
	c.PersistentFlags().BoolVarP(&f.Verbose, "verbose", "v", false, "log each command that runs to stderr")
}

// Log returns the logger for --verbose: on stderr, or nil.
func (f *Flags) Log() *slog.Logger {
	if !f.Verbose {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Open composes the host that this process runs on.
func (f *Flags) Open() (*host.Host, error) { return Open(f.Settings, f.Log()) }

// Print prints v as JSON, or calls table for people.
func (f *Flags) Print(out io.Writer, v any, table func(w io.Writer)) error {
	if f.JSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// Exit codes of the examples, besides 0.
const (
	ExitFailed      = 1 // it did not work; what to do is in the text
	ExitUsage       = 2 // the command line is wrong; nothing was tried
	ExitInterrupted = 3 // a move stands in the middle: run it again with --resume
)

// UsageError marks a wrong command line.
type UsageError struct{ Err error }

// Error implements error.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e UsageError) Unwrap() error { return e.Err }

// Status is an error with an exit code of its own.
type Status struct {
	Code int
	Err  error
}

// Error implements error.
func (s Status) Error() string { return s.Err.Error() }

// Unwrap returns Err.
func (s Status) Unwrap() error { return s.Err }

// Usage makes a UsageError.
func Usage(format string, a ...any) error { return UsageError{fmt.Errorf(format, a...)} }

// Main runs a command with a context that SIGINT and SIGTERM end, and exits
// with a code: that of a Status, or one of the above;
// interrupted is the error that means ExitInterrupted, or nil.
func Main(c *cobra.Command, interrupted error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return UsageError{err} })
	err := c.ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", c.Name(), err)
	var usage UsageError
	var status Status
	switch {
	case errors.As(err, &status):
		os.Exit(status.Code)
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "See %s --help.\n", c.Name())
		os.Exit(ExitUsage)
	case interrupted != nil && errors.Is(err, interrupted):
		os.Exit(ExitInterrupted)
	}
	os.Exit(ExitFailed)
}

// IsTerminal tells whether a progress bar would be seen.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
