package xentest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// HostileStrings returns what someone might write into a field of a Spec to
// reach more than that field: some hundred strings, each once.
func HostileStrings() []string {
	breakers := []string{
		`"`, `'`, `\`, `\\`, `\"`, `\n`, `\x0a`, `\012`, "\n", "\r", "\r\n", "\x00", "\t", "\v", "\x1b[2J", "\x7f", "\u0085", "\u2028", "\xff", "\xc0\xaf",
		";", ",", "=", "+=", "#", "[", "]", "`id`", "$(id)", "${PATH}", "|id", "&", ">", "*", "~", "%s", "%00", " ", "--", "..", "é", "\u202e",
	}
	around := []func(string) string{
		func(b string) string { return b },
		func(b string) string { return "web1" + b },
		func(b string) string { return b + "web1" },
		func(b string) string { return "web1" + b + "bootloader=\"/tmp/x\"" },
		func(b string) string { return "x" + b + "script=/tmp/x" },
		func(b string) string { return "/dev/guests/web1" + b },
		func(b string) string { return "/dev/guests/web1" + b + "script=/tmp/x" },
		func(b string) string { return "/boot/vmlinuz" + b + "\ndevice_model_override='/tmp/x'\n#" },
	}
	all := []string{
		"", "0", "1", "00", "-1", "-", "-h", "--help", "(null)", "Domain-0", "x--incoming", "x--migratedaway", ".", "/", "//", "/dev", "/dev/../etc/shadow",
		"/dev/guests/../sda", "../../etc/passwd", "/etc/shadow", "/proc/self/mem", "phy:/dev/sda", "iscsi:x", "nbd:x", "file:/etc/shadow", "tap:aio:/x",
		"hvm", "PV", "pvh ", "native\n", "rename-restart", "coredump-destroy", "xvda1", "xvdq", "hda", "sda", "d0", "xvda:cdrom", "00:16:3e:00:00:65",
		strings.Repeat("a", 64), strings.Repeat("a", 4097), "/" + strings.Repeat("a", 4096), strings.Repeat("\"", 1000), strings.Repeat("/..", 300),
	}
	for _, b := range breakers {
		for _, f := range around {
			all = append(all, f(b))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// HostileSpecs returns base with s in each of its string fields in turn, by the
// name of the field. base needs a disk and a vif; the first line of its CPUID is
// a field if there is one.
func HostileSpecs(base xen.Spec, s string) map[string]xen.Spec {
	specs := make(map[string]xen.Spec)
	for name, field := range map[string]func(*xen.Spec) *string{
		"name":        func(x *xen.Spec) *string { return &x.Name },
		"type":        func(x *xen.Spec) *string { return (*string)(&x.Type) },
		"kernel":      func(x *xen.Spec) *string { return &x.Kernel },
		"ramdisk":     func(x *xen.Spec) *string { return &x.Ramdisk },
		"cmdline":     func(x *xen.Spec) *string { return &x.Cmdline },
		"tsc_mode":    func(x *xen.Spec) *string { return &x.TSCMode },
		"on_reboot":   func(x *xen.Spec) *string { return &x.OnReboot },
		"on_crash":    func(x *xen.Spec) *string { return &x.OnCrash },
		"boot":        func(x *xen.Spec) *string { return &x.Boot },
		"cpuid":       func(x *xen.Spec) *string { return first(x.CPUID) },
		"disks.dev":   func(x *xen.Spec) *string { return &x.Disks[0].Dev },
		"disks.path":  func(x *xen.Spec) *string { return &x.Disks[0].Path },
		"vifs.name":   func(x *xen.Spec) *string { return &x.Vifs[0].Name },
		"vifs.bridge": func(x *xen.Spec) *string { return &x.Vifs[0].Bridge },
	} {
		spec := base.Clone()
		if at := field(&spec); at != nil {
			*at = s
			specs[name] = spec
		}
	}
	return specs
}

func first(lines []string) *string {
	if len(lines) == 0 {
		return nil
	}
	return &lines[0]
}

// hostile gives every hostile string to every field. What Validate lets pass
// is harmless by what package xlcfg proves; all else must be refused with
// nothing done.
func (s *suite) hostile(t *testing.T) {
	base := s.spec(t, "suite-hostile")
	if len(base.Vifs) == 0 {
		base.Vifs = []xen.Vif{{Name: "suite.0", Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 1}}}
	}
	base.CPUID = []string{"0x1:ecx=" + strings.Repeat("x", 32)}
	before, err := s.d.List(t.Context())
	require.NoError(t, err)
	free := s.free(t)
	fields := HostileSpecs(base, "")
	for field := range fields {
		s.run(t, field, func(t *testing.T) {
			bad := 0
			for _, text := range HostileStrings() {
				spec := HostileSpecs(base, text)[field]
				if spec.Validate() == nil {
					continue
				}
				bad++
				_, err := s.d.Create(t.Context(), spec, nil)
				require.ErrorIs(t, err, xen.ErrInvalid, "%q", text)
				var e *xen.FieldError
				require.True(t, errors.As(err, &e), "%q", text)
			}
			assert.Greater(t, bad, 20)
		})
	}
	s.run(t, "nothing was done", func(t *testing.T) {
		after, err := s.d.List(t.Context())
		require.NoError(t, err)
		assert.Len(t, after, len(before))
		assert.Equal(t, free, s.free(t))
	})
}
