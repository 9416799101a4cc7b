package verb

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"github.com/xenhost/xenhost/xen"
)

// Refused is an argument that is not what it should be; of a long value the
// beginning is kept.
func Refused(field, value, why string) error {
	return &xen.FieldError{Field: field, Value: value[:min(len(value), 64)], Why: why}
}

// Memory refuses what a domain that can have at most most bytes can not be set
// to.
func Memory(bytes, most int64) error {
	why := ""
	switch {
	case bytes%(1<<20) != 0:
		why = "must be a multiple of 1 MiB, in bytes"
	case bytes < xen.MinMemory || bytes > most:
		why = fmt.Sprintf("must be %d to %d MiB, in bytes", xen.MinMemory>>20, most>>20)
	default:
		return nil
	}
	return Refused("memory", strconv.FormatInt(bytes, 10), why)
}

// InRange refuses a number that is not min to max.
func InRange(field string, n, least, most int) error {
	if n >= least && n <= most {
		return nil
	}
	return Refused(field, strconv.Itoa(n), fmt.Sprintf("must be %d to %d", least, most))
}

// SaveThen is what a save shall leave of the domain, checked.
func SaveThen(opts *xen.SaveOptions) (xen.State, error) {
	if opts == nil {
		return "", nil
	}
	switch opts.Then {
	case "", xen.Running, xen.Paused:
		return opts.Then, nil
	}
	return "", Refused("then", string(opts.Then), "must be running, paused or empty")
}

// Free says whether a domain that is made of now can get one more disk: its
// place must be free, and Xen does not see that a domain has the same device
// already under another name.
func Free(now xen.Spec, disk xen.Disk) error {
	for _, other := range now.Disks {
		if other.Dev == disk.Dev {
			return fmt.Errorf("it has a disk %s: %w", disk.Dev, fs.ErrExist)
		}
		if SameDevice(other.Path, disk.Path) && !(other.ReadOnly && disk.ReadOnly) {
			return fmt.Errorf("%s is its disk %s: %w", disk.Path, other.Dev, xen.ErrBusy)
		}
	}
	return nil
}

// SameDevice compares the devices themselves where they can be seen: one
// volume has several names below /dev.
func SameDevice(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	if errX != nil || errY != nil {
		return false
	}
	if os.SameFile(x, y) {
		return true
	}
	s, okX := x.Sys().(*syscall.Stat_t)
	t, okY := y.Sys().(*syscall.Stat_t)
	block := os.ModeDevice
	return okX && okY && x.Mode().Type() == block && y.Mode().Type() == block && s.Rdev == t.Rdev
}
