package xenlab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// ssh returns the command that runs a line in the host's dom0. It has to be
// started in the namespace.
func (h *Host) ssh(ctx context.Context, options []string, line ...string) *exec.Cmd {
	args := append([]string{"-F", "none", "-i", h.lab.keyFile(), "-o", "LogLevel=ERROR",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=20", "-o", "ServerAliveCountMax=6",
		"-o", "ControlPath=" + h.runFile(".ssh")}, options...)
	args = append(args, "root@"+h.MgmtIP())
	if len(line) > 0 {
		args = append(append(args, "--"), line...)
	}
	return exec.CommandContext(ctx, "ssh", args...)
}

// Shell gives a person what argv says in the host's dom0, or a shell.
func (h *Host) Shell(ctx context.Context, argv ...string) error {
	var cmd *exec.Cmd
	if len(argv) > 0 {
		cmd = h.ssh(ctx, nil, quote(argv...))
	} else {
		cmd = h.ssh(ctx, nil)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return h.lab.internet().run(cmd)
}

// connect opens the one connection that all commands share, in the background.
func (h *Host) connect(ctx context.Context) error {
	h.disconnect()
	// A short try: packets get lost right after a boot, and TCP waits longer and longer.
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	cmd := h.ssh(ctx, []string{"-o", "BatchMode=yes", "-M", "-N", "-f", "-E", h.runFile(".ssh.log")})
	if err := h.lab.internet().run(cmd); err != nil {
		return fmt.Errorf("ssh: %w: %s", err, fileTail(h.runFile(".ssh.log"), 2))
	}
	return nil
}

// disconnect drops it, without waiting for the host.
func (h *Host) disconnect() {
	if _, err := os.Stat(h.runFile(".ssh")); err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = h.ssh(ctx, []string{"-O", "exit"}).Run()
	_ = os.Remove(h.runFile(".ssh"))
}

// run starts a command in the namespace and waits until it ends.
func (n *Internet) run(cmd *exec.Cmd) error {
	if err := n.Do(cmd.Start); err != nil {
		return err
	}
	return cmd.Wait()
}
