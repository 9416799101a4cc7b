package xenlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
	Base  string `json:"base"`
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
		err := h.start(ctx, m, img, stateFresh)
		if err != nil && ctx.Err() == nil {
			h.lab.log.Warn("removing disks that do not resume", "host", m.Name)
			_ = removeDisks(m) // the next one makes new ones
		}
		return err
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
