package xenlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Names of saved states on a host's disks.
const (
	stateFresh = "fresh" // after the first boot
	stateKept  = "kept"  // what Save kept
)

// Host is one Xen host of the lab. Its methods are for one caller at a time;
// commands (Run, Runner) are for any number.
type Host struct {
	lab     *Lab
	machine Machine

	mu    sync.Mutex
	count int // of commands, for their names
}

// A run is a QEMU process, as kept in a file for the next process.
type run struct {
	PID   int    `json:"pid"`
	Image string `json:"image"`
	Root  string `json:"root"` // its first disk: on its command line
}

// Name returns the host's name.
func (h *Host) Name() string { return h.machine.Name }

// ExternalIP is the host's address on the ISP's switch.
func (h *Host) ExternalIP() string { return fmt.Sprintf("203.0.113.%d", h.machine.Number) }

// InternalIP is its address on the crossover cable: the guests' gateway.
func (h *Host) InternalIP() string { return fmt.Sprintf("192.168.0.%d", h.machine.Number) }

// MgmtIP is where its dom0 is reached from the namespace.
func (h *Host) MgmtIP() string { return fmt.Sprintf("10.77.0.%d", h.machine.Number) }

// Running reports whether the host has power.
func (h *Host) Running() bool {
	_, ok := h.running()
	return ok
}

func (h *Host) runFile(ext string) string {
	return filepath.Join(h.lab.dir, "run", h.machine.Name+ext)
}

func (h *Host) running() (run, bool) {
	var r run
	data, err := os.ReadFile(h.runFile(".json"))
	if err != nil || json.Unmarshal(data, &r) != nil {
		return run{}, false
	}
	// A PID is used again; a command line with our disk on it is not.
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.PID))
	return r, err == nil && strings.Contains(string(line), r.Root)
}

// ready returns the host's machine with all its files.
func (h *Host) ready(ctx context.Context) (Machine, *image, error) {
	img, err := h.lab.image(ctx)
	if err != nil {
		return Machine{}, nil, err
	}
	m := h.machine
	m.Xen, m.Kernel, m.Initrd = filepath.Join(img.base, "xen"), filepath.Join(img.base, "vmlinuz"), filepath.Join(img.base, "initrd.img")
	m.Monitor, m.Serial = h.runFile(".qmp"), h.runFile(".log")
	disk := filepath.Join(img.dir, m.Name+"-"+m.kind(img.qemu))
	m.Root, m.Data = disk+".qcow2", disk+"-data.qcow2"
	return m, img, nil
}

// up is Lab.Up for one host.
func (h *Host) up(ctx context.Context) error {
	m, img, err := h.ready(ctx)
	if err != nil {
		return err
	}
	if r, ok := h.running(); ok && r.Image == img.name && r.Root == m.Root {
		return nil
	}
	states, err := h.states(ctx, m)
	if err != nil {
		return err
	}
	if !states[stateKept] {
		return h.fresh(ctx)
	}
	if err := h.stop(ctx, unix.SIGTERM); err != nil {
		return err
	}
	return h.start(ctx, m, img, stateKept)
}

// fresh is Lab.Fresh for one host.
func (h *Host) fresh(ctx context.Context) error {
	if err := h.stop(ctx, unix.SIGTERM); err != nil {
		return err
	}
	m, img, err := h.ready(ctx)
	if err != nil {
		return err
	}
	states, err := h.states(ctx, m)
	if err != nil {
		return err
	}
	if states[stateFresh] {
		return h.start(ctx, m, img, stateFresh)
	}
	if err := h.newDisks(ctx, m, img); err != nil {
		return err
	}
	if err := h.start(ctx, m, img, ""); err != nil {
		return err
	}
	return h.save(ctx, stateFresh)
}

// Boot switches the power on: a cold boot from the disks as they are now. A
// host that runs is fs.ErrExist.
func (h *Host) Boot(ctx context.Context) error {
	if h.Running() {
		return fmt.Errorf("lab: boot %s: it runs: %w", h.machine.Name, fs.ErrExist)
	}
	m, img, err := h.ready(ctx)
	if err != nil {
		return err
	}
	if _, err := os.Stat(m.Root); errors.Is(err, fs.ErrNotExist) {
		return h.fresh(ctx)
	}
	return h.start(ctx, m, img, "")
}

// Kill is a power failure: the host is gone at once. What it had flushed is on
// its disks, and Boot finds it there.
func (h *Host) Kill(ctx context.Context) error {
	return h.stop(ctx, unix.SIGKILL)
}

// Save keeps the running state, disks included, for the next Up. It replaces
// what was kept before.
func (h *Host) Save(ctx context.Context) error { return h.save(ctx, stateKept) }

func (h *Host) save(ctx context.Context, state string) error {
	if _, err := h.Run(ctx, "sync"); err != nil {
		return fmt.Errorf("lab: save %s: %w", h.machine.Name, err)
	}
	h.disconnect() // or the saved host would wait for a connection that never talks again
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if _, err := monitor(ctx, h.runFile(".qmp"), "savevm "+state); err != nil {
		return fmt.Errorf("lab: save %s: %w", h.machine.Name, err)
	}
	return h.connect(ctx)
}

// newDisks replaces the host's disks, saved states included.
func (h *Host) newDisks(ctx context.Context, m Machine, img *image) error {
	for _, name := range []string{m.Root, m.Data} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := h.lab.tool(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", img.rootFS, "-F", "raw", m.Root); err != nil {
		return err
	}
	return h.lab.tool(ctx, "qemu-img", "create", "-q", "-f", "qcow2", m.Data, dataSize)
}

// states returns which saved states are on the host's disks.
func (h *Host) states(ctx context.Context, m Machine) (map[string]bool, error) {
	if _, err := os.Stat(m.Root); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	out, err := h.lab.toolOutput(ctx, "qemu-img", "info", "-U", "--output=json", m.Root)
	if err != nil {
		return nil, err
	}
	var info struct{ Snapshots []struct{ Name string } }
	if err := json.Unmarshal(out, &info); err != nil {
		return nil, fmt.Errorf("qemu-img info %s: %w", m.Root, err)
	}
	states := make(map[string]bool)
	for _, s := range info.Snapshots {
		states[s.Name] = true
	}
	return states, nil
}

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
	data, err := json.Marshal(run{PID: cmd.Process.Pid, Image: img.name, Root: m.Root})
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
	h.lab.log.Info("host is up", "host", m.Name, "from", cmpOr(state, "power-on"), "took", time.Since(began).Round(100*time.Millisecond))
	return nil
}

func cmpOr(s, or string) string {
	if s == "" {
		return or
	}
	return s
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
	for {
		text, _ := os.ReadFile(m.Serial)
		if string(text) != said {
			said, since = string(text), time.Now()
		}
		if resumed || strings.Contains(said, "LAB: ready") {
			if err := h.connect(ctx); err == nil {
				break
			}
		}
		if time.Since(since) > bootStalled {
			return fmt.Errorf("no progress for %v", bootStalled)
		}
		select {
		case <-gone:
			return errors.New("QEMU ended")
		case <-ctx.Done():
			return context.Cause(ctx)
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
	defer unix.Close(fd)
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
