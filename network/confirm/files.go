package confirm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/durable"
)

const (
	pendingName   = "pending.json"
	confirmedName = "confirmed.json"
)

// pendingFile is all that a keeper needs to take a change back.
type pendingFile struct {
	ID       uuid.UUID     `json:"id"`
	Boot     string        `json:"boot"`     // of /proc/sys/kernel/random/boot_id
	Deadline time.Duration `json:"deadline"` // of CLOCK_BOOTTIME
	Before   snapshot      `json:"before"`
	Want     State         `json:"want"`
}

// after is what is there once the change is confirmed: the routes stay those
// of before, as far as their bridges do.
func (p pendingFile) after() snapshot {
	s := p.Before
	if p.Want.Network != nil {
		s.Network = p.Want.Network
	}
	if p.Want.Guard != nil {
		s.Guard = p.Want.Guard
	}
	return s
}

// confirmedFile is what Boot applies; ID is zero for what was there before the
// first change.
type confirmedFile struct {
	ID    uuid.UUID `json:"id"`
	State snapshot  `json:"state"`
}

func (c *Changer) readPending() (p pendingFile, err error) {
	err = c.read(pendingName, &p)
	return p, err
}

func (c *Changer) readConfirmed() (f confirmedFile, err error) {
	err = c.read(confirmedName, &f)
	return f, err
}

func (c *Changer) read(name string, v any) error {
	path := filepath.Join(c.dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (c *Changer) write(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(c.dir, name), append(text, '\n'))
}

func (c *Changer) remove(name string) error { return durable.Remove(filepath.Join(c.dir, name)) }

// clock returns the time since boot, sleep included, and which boot it was.
func clock() (now time.Duration, boot string, err error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, "", fmt.Errorf("clock since boot: %w", err)
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return time.Duration(ts.Nano()), strings.TrimSpace(string(id)), err
}

// left tells how long a change still waits; nothing, if it is of another boot.
func (c *Changer) left(p pendingFile) (Pending, error) {
	now, boot, err := clock()
	if err != nil || boot != p.Boot {
		return Pending{ID: p.ID}, err
	}
	return Pending{ID: p.ID, Left: p.Deadline - now}, nil
}
