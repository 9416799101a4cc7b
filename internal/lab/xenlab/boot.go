package xenlab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// start starts the host and waits until it works. Once, a start that failed is
// tried again, and counted.
func (h *Host) start(ctx context.Context, m Machine, img *image, state string) error {
	if err := h.lab.internet().create(ctx, m); err != nil {
		return err
	}
	err := h.startOnce(ctx, m, img, state)
	if err == nil || ctx.Err() != nil {
		return err
	}
	h.lab.log.Warn("boot failed", "host", m.Name, "error", err)
	h.lab.log.Warn(fmt.Sprintf("boots retried: %d", h.lab.retried.Add(1)))
	return h.startOnce(ctx, m, img, state)
}

func (h *Host) startOnce(ctx context.Context, m Machine, img *image, state string) error {
	began := time.Now()
	h.disconnect()
	_ = os.Remove(m.Serial)
	said, err := os.Create(h.runFile(".out"))
	if err != nil {
		return err
	}
	defer said.Close()
	args := m.Args(state)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if h.lab.tied {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if err := h.lab.internet().Do(cmd.Start); err != nil {
		return fmt.Errorf("lab: start %s: %w", m.Name, err)
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	data, err := json.Marshal(run{PID: cmd.Process.Pid, Image: img.name, Base: filepath.Base(img.base), Root: m.Root})
	if err != nil {
		return err
	}
	if err := os.WriteFile(h.runFile(".json"), data, 0o600); err != nil {
		return err
	}
	if err := h.awaitReady(ctx, m, state != "", gone); err != nil {
		_ = h.stop(context.WithoutCancel(ctx), unix.SIGKILL)
		return fmt.Errorf("lab: %s did not come up: %w\n-- %s\n%s\n-- %s\n%s", m.Name, err,
			m.Serial, fileTail(m.Serial, 25), said.Name(), fileTail(said.Name(), 10))
	}
	h.lab.log.Info("host is up", "host", m.Name, "from", cmp.Or(state, "power-on"), "took", time.Since(began).Round(100*time.Millisecond))
	return nil
}

// Limits of a boot. Emulation on a busy machine is slow: a boot fails when it
// makes no progress, not when it takes long.
const (
	bootStalled = 3 * time.Minute  // nothing new on the serial console
	bootTooLong = 20 * time.Minute // whatever it does
)

// awaitReady waits until dom0 runs commands, then sets its clock.
func (h *Host) awaitReady(ctx context.Context, m Machine, resumed bool, gone <-chan struct{}) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bootTooLong, errors.New("it takes too long"))
	defer cancel()
	said, since := "", time.Now()
	var refused error // of the last try to connect
	for {
		text, _ := os.ReadFile(m.Serial)
		if string(text) != said {
			said, since = string(text), time.Now()
		}
		if resumed || strings.Contains(said, "LAB: ready") {
			if refused = h.connect(ctx); refused == nil {
				break
			}
		}
		if time.Since(since) > bootStalled {
			return errors.Join(fmt.Errorf("no progress for %v", bootStalled), refused)
		}
		select {
		case <-gone:
			return errors.New("QEMU ended")
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), refused)
		case <-time.After(100 * time.Millisecond):
		}
	}
	// A resumed host believes that no time has passed.
	if _, err := h.Run(ctx, "date", "--set=@"+strconv.FormatFloat(float64(time.Now().UnixMilli())/1000, 'f', 3, 64)); err != nil {
		return err
	}
	_, err := h.Run(ctx, "xl", "list")
	return err
}

// stop ends the QEMU process by a signal and waits until it is gone.
func (h *Host) stop(ctx context.Context, signal unix.Signal) error {
	h.disconnect()
	r, ok := h.running()
	if !ok {
		return nil
	}
	fd, err := unix.PidfdOpen(r.PID, 0)
	if err != nil {
		return nil // gone meanwhile
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("lab: stop %s: %w", h.machine.Name, err)
	}
	hard := time.Now().Add(30 * time.Second)
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 200)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		if time.Now().After(hard) {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
	}
	return fmt.Errorf("lab: stop %s: %w", h.machine.Name, ctx.Err())
}
