package dom0test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os/exec"
	"slices"

	"github.com/xenhost/xenhost/xen/dom0"
)

// exchange is one command and its answer.
type exchange struct {
	request
	exit   int
	text   string   // of the error beyond the exit code, "" if there is none
	is     []string // keys of known
	stdout []byte
	stderr []byte
}

// request is what a replay compares.
type request struct {
	args   []string
	env    []string
	stdin  string // digest of the whole input; "" if there was none
	noKill bool
}

// partial stands for an input that the command did not read to its end; how
// much of it went into the pipe is chance.
const partial = "partial"

// known are the errors that callers look for with errors.Is.
func known() map[string]error {
	return map[string]error{
		"canceled":   context.Canceled,
		"deadline":   context.DeadlineExceeded,
		"not-found":  exec.ErrNotFound,
		"not-exist":  fs.ErrNotExist,
		"permission": fs.ErrPermission,
	}
}

// answer notes how a command ended.
func (x *exchange) answer(err error) error {
	if err == nil {
		return nil
	}
	failed, ok := errors.AsType[*dom0.Error](err)
	if !ok {
		return fmt.Errorf("dom0test: the runner returned %T, not *dom0.Error: %w", err, err)
	}
	x.exit = failed.ExitCode
	if len(x.stderr) == 0 {
		x.stderr = []byte(failed.Stderr)
	}
	if failed.Err == nil {
		return nil
	}
	x.text = failed.Err.Error()
	for name, target := range known() {
		if errors.Is(failed.Err, target) {
			x.is = append(x.is, name)
		}
	}
	slices.Sort(x.is)
	return nil
}

// failure is the reverse of answer.
func (x *exchange) failure(args []string) error {
	if x.exit == 0 && x.text == "" {
		return nil
	}
	failed := &dom0.Error{Args: slices.Clone(args), ExitCode: x.exit, Stderr: string(x.stderr)}
	if x.text != "" {
		replayed := &replayedError{text: x.text}
		for _, name := range x.is {
			replayed.is = append(replayed.is, known()[name])
		}
		failed.Err = replayed
	}
	return failed
}

type replayedError struct {
	text string
	is   []error
}

func (e *replayedError) Error() string   { return e.text }
func (e *replayedError) Unwrap() []error { return e.is }

// digester digests what is read through it.
type digester struct {
	from io.Reader
	sum  hash.Hash
	n    int64
	end  bool
}

func newDigester(r io.Reader) *digester { return &digester{from: r, sum: sha256.New()} }

func (d *digester) Read(p []byte) (int, error) {
	n, err := d.from.Read(p)
	d.sum.Write(p[:n])
	d.n += int64(n)
	d.end = d.end || err == io.EOF
	return n, err
}

func (d *digester) String() string {
	if !d.end {
		return partial
	}
	return fmt.Sprintf("%d sha256:%s", d.n, hex.EncodeToString(d.sum.Sum(nil)))
}
