package dom0

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// streams are the pipes between one command and the caller's reader and
// writers. They are our own, not those of os/exec, for two reasons: a NoKill
// command's must be closed while it runs, and output that waits for a slow
// writer must not be cut off when the command has ended.
type streams struct {
	theirs []*os.File // the command's ends, ours until it has started
	in     *input     // nil if the command reads a file or nothing
	out    *output    // nil if the command writes to a file or nowhere
	err    *output
	said   ends // of stderr
}

// connect gives c its stdin, stdout and stderr.
func connect(c *exec.Cmd, cmd Cmd) (*streams, error) {
	s := &streams{}
	fail := func(err error) (*streams, error) {
		s.abandon()
		return nil, fmt.Errorf("dom0: pipe: %w", err)
	}

	file, isFile := cmd.Stdin.(*os.File)
	switch {
	case isFile && !cmd.NoKill:
		c.Stdin = file
	case cmd.Stdin != nil:
		r, w, err := os.Pipe()
		if err != nil {
			return fail(err)
		}
		c.Stdin = s.hand(r)
		s.in = &input{from: cmd.Stdin, pipe: w, done: make(chan error, 1)}
	}

	file, isFile = cmd.Stdout.(*os.File)
	switch {
	case isFile && !cmd.NoKill:
		c.Stdout = file
	case cmd.Stdout != nil:
		r, w, err := os.Pipe()
		if err != nil {
			return fail(err)
		}
		c.Stdout = s.hand(w)
		s.out = &output{pipe: r, to: cmd.Stdout, done: make(chan error, 1)}
	}

	r, w, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	c.Stderr = s.hand(w)
	s.err = &output{pipe: r, to: &s.said, copyTo: cmd.Stderr, done: make(chan error, 1)}
	return s, nil
}

func (s *streams) hand(f *os.File) *os.File {
	s.theirs = append(s.theirs, f)
	return f
}

// start moves data, once the command holds its ends.
func (s *streams) start() {
	for _, f := range s.theirs {
		f.Close()
	}
	if s.in != nil {
		go s.in.feed()
	}
	if s.out != nil {
		go s.out.drain()
	}
	go s.err.drain()
}

// cut closes stdin and stdout under a command that must not be killed. stdout
// goes first: xl migrate-receive answers the end of its input, and destroys what
// it has received unless that answer fails.
func (s *streams) cut() {
	if s.out != nil {
		s.out.pipe.Close()
	}
	if s.in != nil {
		s.in.pipe.Close()
	}
}

// finish waits for the last output of a command that has ended, and says what
// went wrong with its streams. cut tells that ctx has ended already.
func (s *streams) finish(ctx context.Context, delay time.Duration, cut bool) error {
	defer s.abandon()
	until := time.Now().Add(delay)
	var fed, drained, told chan error
	var stdin, stdout, stderr error
	if s.in != nil {
		fed = s.in.done
		select {
		case stdin = <-fed: // while the command ran: it took this for the end
			fed = nil
		default:
		}
		s.in.pipe.Close()
	}
	if s.out != nil {
		drained = s.out.done
		_ = s.out.pipe.SetReadDeadline(until) // fails if closed, which is fine
	}
	told = s.err.done
	_ = s.err.pipe.SetReadDeadline(until)

	ended, over := ctx.Done(), time.After(delay)
	if cut {
		ended = nil
	}
	for fed != nil || drained != nil || told != nil {
		select {
		case <-fed: //nolint:errcheck // the command has ended: what it did not read is no error
			fed = nil
		case stdout = <-drained:
			drained = nil
		case stderr = <-told:
			told = nil
		case <-ended:
			ended, cut, over = nil, true, time.After(delay)
		case <-over:
			// Input that nobody reads any more is given up. Output is
			// given up only when the caller gave up too.
			fed, over = nil, nil
			if cut && (drained != nil || told != nil) {
				return chain(contextError(ctx), errBlocked, stdin, stdout, stderr)
			}
		}
	}
	return chain(stdin, stdout, stderr)
}

var errBlocked = errors.New("dom0: output was lost: its writer blocks")

// abandon closes every end; closing twice is harmless.
func (s *streams) abandon() {
	for _, f := range s.theirs {
		f.Close()
	}
	s.cut()
	if s.err != nil {
		s.err.pipe.Close()
	}
}

// input feeds a command.
type input struct {
	from io.Reader
	pipe *os.File
	done chan error
}

// feed ends with the error of the reader, since the command takes that for the
// end of its input; it is told before the pipe is closed. A command that does
// not read all of its input is no error.
func (i *input) feed() {
	defer i.pipe.Close()
	buf := make([]byte, chunk)
	for {
		n, err := i.from.Read(buf)
		if _, gone := i.pipe.Write(buf[:n]); gone != nil || err == io.EOF {
			i.done <- nil
			return
		}
		if err != nil {
			i.done <- fmt.Errorf("dom0: stdin: %w", err)
			return
		}
	}
}

// chunk is what a pipe holds.
const chunk = 64 << 10

// output takes what a command prints.
type output struct {
	pipe   *os.File
	to     io.Writer
	copyTo io.Writer // also, if not nil; its error does not stop to
	failed error     // of a writer
	done   chan error
}

// drain reads until the pipe ends. After a read deadline it still takes what
// is in the pipe: the command wrote that before it ended.
func (o *output) drain() {
	if err := o.copy(o.pipe); errors.Is(err, os.ErrDeadlineExceeded) {
		_ = o.copy(io.LimitReader(o.pipe, o.pending())) // what fails is in o.failed
	}
	o.done <- o.failed
}

// copy returns the error of reading.
func (o *output) copy(pipe io.Reader) error {
	buf := make([]byte, chunk)
	for {
		n, err := pipe.Read(buf)
		if n > 0 {
			o.write(buf[:n])
		}
		if err != nil {
			return err
		}
	}
}

func (o *output) write(p []byte) {
	if _, err := o.to.Write(p); err != nil {
		o.failed = fmt.Errorf("dom0: stdout: %w", err)
		o.pipe.Close() // the command shall see it
	}
	if o.copyTo == nil {
		return
	}
	if _, err := o.copyTo.Write(p); err != nil {
		o.failed = fmt.Errorf("dom0: stderr: %w", err)
		o.copyTo = nil
	}
}

// pending lifts the deadline and returns how much can be read without waiting.
func (o *output) pending() int64 {
	conn, err := o.pipe.SyscallConn()
	if err != nil || o.pipe.SetReadDeadline(time.Time{}) != nil {
		return 0
	}
	n := 0
	_ = conn.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return int64(n)
}
