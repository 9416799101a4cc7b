package migrate

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/xenhost/xenhost/xen/dom0"
)

// Command is a connection to a command that serves on its stdin and stdout, as
// one that SSH returns. What it says on stderr is part of the error that ends
// the reading: "Permission denied (publickey)" is there.
//
// Close ends the command, which finds its stdin and stdout closed, and waits
// for it; so does the end of ctx.
func Command(ctx context.Context, r dom0.Runner, argv []string) (io.ReadWriteCloser, error) {
	stdin, toCommand, err := os.Pipe() // pipes of the kernel: the command has them itself, nothing copies
	if err != nil {
		return nil, err
	}
	fromCommand, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), toCommand.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &command{toCommand: toCommand, fromCommand: fromCommand, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		c.err = r.Run(ctx, dom0.Cmd{Args: argv, Stdin: stdin, Stdout: stdout})
		stdin.Close()
		stdout.Close()
	}()
	return c, nil
}

type command struct {
	toCommand, fromCommand *os.File
	cancel                 context.CancelFunc
	once                   sync.Once
	ended                  chan struct{}
	err                    error // of the command; read after ended
}

// Read implements io.Reader. After the last byte it tells how the command
// ended.
func (c *command) Read(p []byte) (int, error) {
	n, err := c.fromCommand.Read(p)
	if errors.Is(err, io.EOF) {
		<-c.ended
		if c.err != nil {
			err = c.err
		}
	}
	return n, err
}

// Write implements io.Writer.
func (c *command) Write(p []byte) (int, error) { return c.toCommand.Write(p) }

// Close implements io.Closer.
func (c *command) Close() error {
	c.once.Do(func() {
		c.toCommand.Close()
		c.fromCommand.Close()
		c.cancel()
	})
	<-c.ended
	if errors.Is(c.err, context.Canceled) {
		return nil // it is this Close that ended it
	}
	return c.err
}

// SSHOptions changes the argv of SSH; nil is the defaults.
type SSHOptions struct {
	Agent   []string // the command there; empty is xenhost-agent serve
	Options []string // more options for ssh, as -i, /root/.ssh/islay
}

// SSH returns the argv of the system's ssh for Command: the operator's keys,
// jump hosts and known_hosts are used as in their shell. No password is asked
// for, and a dead link ends the connection within a minute.
//
// destination is as ssh(1) takes it (root@islay); one that would be read as an
// option is refused by ssh, since it stands behind "--".
//
//	ssh -T -oBatchMode=yes -oServerAliveInterval=15 -- root@islay xenhost-agent serve
func SSH(destination string, opts *SSHOptions) []string {
	if opts == nil {
		opts = &SSHOptions{}
	}
	agent := opts.Agent
	if len(agent) == 0 {
		agent = []string{"xenhost-agent", "serve"}
	}
	argv := []string{"ssh", "-T", "-oBatchMode=yes", "-oServerAliveInterval=15", "-oServerAliveCountMax=3"}
	argv = append(argv, opts.Options...)
	argv = append(argv, "--", destination)
	return append(argv, agent...)
}
