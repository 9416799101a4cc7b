package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const sshdPath = "/usr/sbin/sshd"

// sshd is a server on a loopback port, with keys of its own.
type sshd struct {
	dir, user string
	port      int
	cmd       *exec.Cmd
}

// withSSH measures f with a server that ends behind it, so that what the server
// used is known. rate is of the link to it, in bytes a second; 0 is loopback.
func (b *copies) withSSH(ctx context.Context, rate float64, f func(*sshd) (cost, error)) (cost, error) {
	s, err := b.startSSH(ctx)
	if err != nil {
		return cost{}, err
	}
	if rate > 0 {
		l, err := newLink(fmt.Sprintf("127.0.0.1:%d", s.port), rate)
		if err != nil {
			return cost{}, errors.Join(err, s.cmd.Process.Kill(), s.cmd.Wait())
		}
		defer l.Close()
		s.port = l.port()
	}
	c, err := f(s)
	err = errors.Join(err, s.cmd.Process.Signal(syscall.SIGTERM))
	var ended *exec.ExitError
	if waitErr := s.cmd.Wait(); waitErr != nil && !errors.As(waitErr, &ended) {
		err = errors.Join(err, waitErr)
	}
	c.add(s.cmd.ProcessState)
	return c, err
}

func (b *copies) startSSH(ctx context.Context) (*sshd, error) {
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	s := &sshd{dir: b.path("ssh"), user: me.Username}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	for _, key := range []string{"host", "key"} {
		if _, err := os.Stat(s.dir + "/" + key); err == nil {
			continue
		}
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", s.dir+"/"+key).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	if me.Uid == "0" {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd wants it
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return nil, err
	}
	config := strings.Join([]string{
		"ListenAddress 127.0.0.1", "Port " + strconv.Itoa(s.port), "HostKey " + s.dir + "/host", "AuthorizedKeysFile " + s.dir + "/key.pub",
		"StrictModes no", "UsePAM no", "PidFile none", "PermitRootLogin yes", "PasswordAuthentication no", "LogLevel FATAL", "",
	}, "\n")
	if err := os.WriteFile(s.dir+"/config", []byte(config), 0o600); err != nil {
		return nil, err
	}
	s.cmd = exec.CommandContext(ctx, sshdPath, "-D", "-e", "-f", s.dir+"/config")
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			return s, conn.Close()
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(err, s.cmd.Process.Kill(), s.cmd.Wait())
		}
	}
}

func (s *sshd) host() string { return s.user + "@127.0.0.1" }

func (s *sshd) options() []string {
	return []string{
		"-F", "none", "-p", strconv.Itoa(s.port), "-i", s.dir + "/key",
		"-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oLogLevel=ERROR", "-oBatchMode=yes",
	}
}

// command returns the argv that runs another one behind the server.
func (s *sshd) command(argv ...string) []string {
	return append(append(append([]string{"ssh", "-T"}, s.options()...), "--", s.host()), argv...)
}
