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
	v.check(s.Type == PVH || s.Type == PV || s.Type == HVM, "type", string(s.Type), "must be pvh, pv or hvm")
	v.check(s.Memory >= MinMemory && s.Memory <= MaxMemory, "memory", fmt.Sprint(s.Memory), "must be 32 MiB to 1 TiB, in bytes")
	v.check(s.Memory%(1<<20) == 0, "memory", fmt.Sprint(s.Memory), "must be a multiple of 1 MiB, in bytes")
	v.check(s.VCPUs >= 1 && s.VCPUs <= MaxVCPUs, "vcpus", fmt.Sprint(s.VCPUs), "must be 1 to 128")
	if s.Kernel != "" || s.Type != HVM {
		v.path("kernel", s.Kernel)
	}
	if s.Ramdisk != "" {
		v.path("ramdisk", s.Ramdisk)
	}
	v.text("cmdline", s.Cmdline, MaxCmdline)
	v.oneOf("tsc_mode", s.TSCMode, "", "default", "always_emulate", "native", "native_paravirt")
	v.oneOf("on_reboot", s.OnReboot, "", "destroy", "restart", "preserve")
	v.oneOf("on_crash", s.OnCrash, "", "destroy", "restart", "preserve")
	v.limits(s)
	v.machine(s)
	v.disks(s.Disks)
	v.vifs(s.Vifs)
	return errors.Join(v.errs...)
}

// Validate tells what every driver would refuse in a disk that is attached.
func (d Disk) Validate() error {
	var v validation
	v.disk("disk", d)
	v.check(!d.CDROM, "disk.cdrom", d.Dev, "a CD-ROM drive can not be attached; give the domain one when it starts")
	return errors.Join(v.errs...)
}

// Validate tells what every driver would refuse in a vif that is attached.
func (n Vif) Validate() error {
	var v validation
	v.vif("vif", n)
	return errors.Join(v.errs...)
}

// Validate tells whether Xen can hold such a share; n is how many vCPUs the
// domain may have.
func (s Share) Validate(n int) error {
	var v validation
	v.share(s, n)
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

// Clone returns a copy of s that shares nothing with it.
func (s Spec) Clone() Spec {
	s.Disks = append([]Disk(nil), s.Disks...)
	s.Vifs = append([]Vif(nil), s.Vifs...)
	s.CPUID = append([]string(nil), s.CPUID...)
	return s
}

// WithDefaults returns s with each value written out that means something else
// when it is zero or empty, but for Boot. It is what Configurer.Config shows.
func (s Spec) WithDefaults() Spec {
	s = s.Clone()
	s.MaxMemory, s.MaxVCPUs = max(s.MaxMemory, s.Memory), max(s.MaxVCPUs, s.VCPUs)
	if s.Weight == 0 {
		s.Weight = DefaultWeight
	}
	for _, def := range []struct {
		field *string
		value string
	}{{&s.TSCMode, "default"}, {&s.OnReboot, "restart"}, {&s.OnCrash, "destroy"}} {
		if *def.field == "" {
			*def.field = def.value
		}
	}
	return s
}
