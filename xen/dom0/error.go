package dom0

import (
	"fmt"
	"strings"
)

// Error says which command failed and how. It is a plain struct, so that a
// fake can make one: &Error{Args: argv, ExitCode: 5, Stderr: "..."}.
type Error struct {
	Args     []string // the argv that ran
	ExitCode int      // as exit(3) had it; -1: not started, or ended by a signal
	Stderr   string   // what the command said, bounded: the start and the end of it
	// Err is what else is known: why it did not start (exec.ErrNotFound,
	// fs.ErrPermission), the signal that ended it, the context's error and its
	// cause, an error of Cmd.Stdin, Stdout or Stderr. nil if the command just
	// exited with ExitCode.
	Err error
}

// Error names the command, its exit code and the first line that it said.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(strings.Join(e.Args, " "))
	if e.ExitCode > 0 {
		fmt.Fprintf(&b, ": exit %d", e.ExitCode)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if line := FirstLine(e.Stderr); line != "" {
		b.WriteString(": " + line)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// FirstLine returns the first line of a command's stderr that is not blank.
func FirstLine(stderr string) string {
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return ""
}
