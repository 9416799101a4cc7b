package diskrate

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Limit says how fast the guests' side may read and write a device. What is 0
// is not limited.
type Limit struct {
	ReadBytes  int64 `json:"read_bytes,omitempty"` // a second, at least MinBytes
	WriteBytes int64 `json:"write_bytes,omitempty"`
	ReadOps    int64 `json:"read_ops,omitempty"` // requests a second, as the guest makes them; MinOps to MaxOps
	WriteOps   int64 `json:"write_ops,omitempty"`
}

// Bounds of Limit. With less than MinBytes a guest's single request could take
// longer than its driver waits; 1 request a second is invalid to io.max of control
// groups version 2 (tg_set_limit in the kernel's block/blk-throttle.c).
const (
	MinBytes = 64 << 10
	MinOps   = 2
	MaxOps   = math.MaxUint32 - 1
)

// Validate refuses a limit that no kernel keeps: ErrInvalid.
func (l Limit) Validate() error {
	if err := l.validate(); err != nil {
		return &Error{Op: "validate", Err: err}
	}
	return nil
}

func (l Limit) validate() error {
	for _, w := range l.words() {
		if *w.value < 0 || *w.value != 0 && *w.value < w.least || *w.value > w.most {
			return fmt.Errorf("%s=%d (%d to %d): %w", w.name, *w.value, w.least, w.most, ErrInvalid)
		}
	}
	return nil
}

// A word is one number of a limit, under the name that the kernel has for it.
type word struct {
	name, old   string // in version 2, and the file of version 1
	value       *int64
	least, most int64
}

func (l *Limit) words() []word {
	return []word{
		{"rbps", "read_bps_device", &l.ReadBytes, MinBytes, math.MaxInt64},
		{"wbps", "write_bps_device", &l.WriteBytes, MinBytes, math.MaxInt64},
		{"riops", "read_iops_device", &l.ReadOps, MinOps, MaxOps},
		{"wiops", "write_iops_device", &l.WriteOps, MinOps, MaxOps},
	}
}

// String prints what is set in the kernel's words, as "rbps=52428800
// wiops=2000", or "unlimited".
func (l Limit) String() string {
	var out []string
	for _, w := range l.words() {
		if *w.value != 0 {
			out = append(out, w.name+"="+strconv.FormatInt(*w.value, 10))
		}
	}
	if len(out) == 0 {
		return "unlimited"
	}
	return strings.Join(out, " ")
}

// full prints all numbers, as io.max takes them.
func (l Limit) full() string {
	var out []string
	for _, w := range l.words() {
		value := "max"
		if *w.value != 0 {
			value = strconv.FormatInt(*w.value, 10)
		}
		out = append(out, w.name+"="+value)
	}
	return strings.Join(out, " ")
}

// parseLimit reads the words of io.max; those that it does not know, a newer
// kernel's, are passed over.
func parseLimit(words []string) (l Limit, err error) {
	for _, text := range words {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return Limit{}, fmt.Errorf("%q: %w", text, ErrInvalid)
		}
		for _, w := range l.words() {
			if w.name != name || value == "max" {
				continue
			}
			if *w.value, err = parseCount(value); err != nil {
				return Limit{}, err
			}
		}
	}
	return l, nil
}

// parseCount reads a number; one beyond what we can set is no limit.
func parseCount(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", text, ErrInvalid)
	}
	if n > math.MaxInt64 {
		return 0, nil
	}
	return int64(n), nil
}

// Device is a block device as the kernel numbers it.
type Device struct{ Major, Minor uint32 }

// String reads as 253:3.
func (d Device) String() string { return fmt.Sprintf("%d:%d", d.Major, d.Minor) }

// MarshalText implements encoding.TextMarshaler.
func (d Device) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// parseDevice reads what String prints.
func parseDevice(text string) (Device, error) {
	major, minor, _ := strings.Cut(text, ":")
	a, err := strconv.ParseUint(major, 10, 32)
	b, err2 := strconv.ParseUint(minor, 10, 32)
	if err != nil || err2 != nil {
		return Device{}, fmt.Errorf("device %q: %w", text, ErrInvalid)
	}
	return Device{uint32(a), uint32(b)}, nil
}

// State is what is in force.
type State struct {
	Limits map[Device]Limit `json:"limits"`
	// Loose are threads that serve a guest's disk and are not held to any limit,
	// by name: "7.xvda-0" of domain 7. Refresh takes them in. While there is no
	// limit at all, none is listed.
	Loose []string `json:"loose,omitempty"`
}

// Manager limits the disks of a host: Linux and diskratetest.Fake.
type Manager interface {
	// Read returns what is in force.
	Read(ctx context.Context) (State, error)
	// Set limits what guests read from and write to a device, as
	// /dev/guests/web1, from now on; a limit that was there changes in place.
	// The zero Limit takes it off. No such device is fs.ErrNotExist, what is no
	// whole block device ErrInvalid.
	Set(ctx context.Context, path string, l Limit) error
	// Refresh takes in the threads of guests that started since.
	Refresh(ctx context.Context) error
}
