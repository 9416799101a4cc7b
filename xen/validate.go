package xen

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// The limits of a Spec.
const (
	MinMemory  = 32 << 20 // bytes
	MaxMemory  = 1 << 40  // bytes
	MaxVCPUs   = 128
	MaxCmdline = 1023 // bytes; the start info page of a PV guest holds no more
	maxPath    = 1024
)

// FieldError says which field of a Spec is refused and why. It matches
// ErrInvalid.
type FieldError struct {
	Field string // as "disks[0].path"
	Value string // what was in it, at most 64 bytes of it
	Why   string
}

// Error reads as `disks[0].path "web1": not an absolute path`.
func (e *FieldError) Error() string { return fmt.Sprintf("%s %q: %s", e.Field, e.Value, e.Why) }

// Unwrap returns ErrInvalid.
func (e *FieldError) Unwrap() error { return ErrInvalid }

// Validate tells everything that a driver would refuse in s, joined, each part
// a *FieldError. It looks at the spec only: whether a path or a bridge exists
// is found out by the driver, which can be stricter (xl takes disks only from
// below /dev).
func (s Spec) Validate() error {
	var v validation
	v.check(ValidName(s.Name), "name", s.Name, "must match "+nameForm.String()+" and not end in --incoming or --migratedaway")
	v.check(s.UUID != uuid.Nil, "uuid", s.UUID.String(), "is required")
	v.check(s.Type == PVH || s.Type == PV, "type", string(s.Type), "must be pvh or pv")
	v.check(s.Memory >= MinMemory && s.Memory <= MaxMemory, "memory", fmt.Sprint(s.Memory), "must be 32 MiB to 1 TiB, in bytes")
	v.check(s.Memory%(1<<20) == 0, "memory", fmt.Sprint(s.Memory), "must be a multiple of 1 MiB, in bytes")
	v.check(s.VCPUs >= 1 && s.VCPUs <= MaxVCPUs, "vcpus", fmt.Sprint(s.VCPUs), "must be 1 to 128")
	v.path("kernel", s.Kernel)
	if s.Ramdisk != "" {
		v.path("ramdisk", s.Ramdisk)
	}
	v.text("cmdline", s.Cmdline, MaxCmdline)
	v.oneOf("tsc_mode", s.TSCMode, "", "default", "always_emulate", "native", "native_paravirt")
	v.oneOf("on_reboot", s.OnReboot, "", "destroy", "restart", "preserve")
	v.oneOf("on_crash", s.OnCrash, "", "destroy", "restart", "preserve")
	v.disks(s.Disks)
	v.vifs(s.Vifs)
	return errors.Join(v.errs...)
}

// validation collects what is wrong.
type validation struct{ errs []error }

func (v *validation) check(ok bool, field, value, why string) {
	if !ok {
		v.errs = append(v.errs, &FieldError{Field: field, Value: value[:min(len(value), 64)], Why: why})
	}
}

// text refuses what a configuration file, a log or JSON could not carry as it
// is: control characters and bytes that are not UTF-8.
func (v *validation) text(field, s string, limit int) {
	v.check(len(s) <= limit, field, s, fmt.Sprintf("longer than %d bytes", limit))
	v.check(utf8.ValidString(s), field, s, "is not UTF-8")
	v.check(strings.IndexFunc(s, unicode.IsControl) < 0, field, s, "has control characters")
}

func (v *validation) path(field, p string) {
	v.check(path.IsAbs(p), field, p, "is not an absolute path")
	v.check(path.Clean(p) == p && p != "/", field, p, "is not a clean path")
	v.text(field, p, maxPath)
}

func (v *validation) oneOf(field, s string, words ...string) {
	for _, w := range words {
		if s == w {
			return
		}
	}
	v.check(false, field, s, "must be one of "+strings.Join(words[1:], ", ")+", or empty")
}

// disks also refuses one path in two places if one of them writes: Xen itself
// looks only at other domains.
func (v *validation) disks(disks []Disk) {
	for i, d := range disks {
		field := fmt.Sprintf("disks[%d]", i)
		v.check(deviceForm.MatchString(d.Dev), field+".dev", d.Dev, "must be xvda to xvdp")
		v.path(field+".path", d.Path)
		for _, other := range disks[:i] {
			v.check(other.Dev != d.Dev, field+".dev", d.Dev, "is there twice")
			v.check(other.Path != d.Path || other.ReadOnly && d.ReadOnly, field+".path", d.Path, "is there twice and writable")
		}
	}
}

func (v *validation) vifs(vifs []Vif) {
	for i, n := range vifs {
		field := fmt.Sprintf("vifs[%d]", i)
		v.check(validLink(n.Name), field+".name", n.Name, "must be 1 to 15 of A-Z a-z 0-9 _ . - and not start with a dash")
		v.check(validLink(n.Bridge), field+".bridge", n.Bridge, "must be 1 to 15 of A-Z a-z 0-9 _ . - and not start with a dash")
		v.check(!n.MAC.IsZero() && n.MAC[0]&1 == 0, field+".mac", n.MAC.String(), "must be a unicast address")
		for _, other := range vifs[:i] {
			v.check(other.Name != n.Name, field+".name", n.Name, "is there twice")
			v.check(other.MAC != n.MAC, field+".mac", n.MAC.String(), "is there twice")
		}
	}
}

// Clone returns a copy of s that shares nothing with it.
func (s Spec) Clone() Spec {
	s.Disks = append([]Disk(nil), s.Disks...)
	s.Vifs = append([]Vif(nil), s.Vifs...)
	return s
}
