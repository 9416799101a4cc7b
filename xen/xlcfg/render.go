package xlcfg

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/xenhost/xenhost/xen"
)

// targetForm is what may stand behind target= in a disk: a newline would begin
// a new parameter there, and a last comma would be lost.
var (
	targetForm = regexp.MustCompile(`^/dev/[A-Za-z0-9_+./:-]+$`)
	imageForm  = regexp.MustCompile(`^/[A-Za-z0-9_+./:-]+$`)
)

// Render returns the configuration from which xl create makes spec. The spec
// must pass Validate, and its disks must lie below /dev, written without "..";
// otherwise the error matches xen.ErrInvalid. So it does for a path of a CD-ROM
// image that has other characters than A-Z a-z 0-9 _ + . / : and -.
func Render(spec xen.Spec) (string, error) {
	if err := spec.Validate(); err != nil {
		return "", err
	}
	c := Config{
		set("name", spec.Name),
		set("uuid", spec.UUID.String()),
		set("type", string(spec.Type)),
		set("memory", fmt.Sprint(spec.Memory>>20)),
		set("vcpus", fmt.Sprint(spec.VCPUs)),
	}
	for _, some := range []struct {
		key   string
		value any
		is    bool
	}{
		{"maxmem", spec.MaxMemory >> 20, spec.MaxMemory != 0},
		{"maxvcpus", spec.MaxVCPUs, spec.MaxVCPUs != 0},
		{"cpu_weight", spec.Weight, spec.Weight != 0},
		{"cap", spec.Cap, spec.Cap != 0},
		{"kernel", spec.Kernel, spec.Kernel != ""},
		{"ramdisk", spec.Ramdisk, spec.Ramdisk != ""},
		{"cmdline", spec.Cmdline, spec.Cmdline != ""},
		{"tsc_mode", spec.TSCMode, spec.TSCMode != ""},
		{"boot", spec.Boot, spec.Boot != ""},
	} {
		if some.is {
			c = append(c, set(some.key, fmt.Sprint(some.value)))
		}
	}
	c = append(c, machine(spec)...)
	c = append(c,
		set("on_poweroff", "destroy"),
		set("on_reboot", orElse(spec.OnReboot, "restart")),
		set("on_crash", orElse(spec.OnCrash, "destroy")),
		set("on_watchdog", "destroy"),
		set("on_soft_reset", "destroy"), // a feature that guests need only for kexec, with a history of holes
	)
	disks, vifs := List(), List()
	for i, d := range spec.Disks {
		parameters, err := disk(d)
		if err != nil {
			err.Field = fmt.Sprintf("disks[%d].path", i)
			return "", err
		}
		disks.List = append(disks.List, String(parameters))
	}
	for _, v := range spec.Vifs {
		vifs.List = append(vifs.List, String(strings.Join(vif(v), ",")))
	}
	c = append(c, Assignment{Key: "disk", Value: disks}, Assignment{Key: "vif", Value: vifs})
	if len(spec.CPUID) > 0 {
		lines := List()
		for _, line := range spec.CPUID {
			lines.List = append(lines.List, String(line))
		}
		c = append(c, Assignment{Key: "cpuid", Value: lines})
	}
	return c.String(), nil
}

// machine is what only an emulated one has: a serial port for the console, and
// a screen that nobody outside dom0 can reach.
func machine(spec xen.Spec) Config {
	switch {
	case spec.Type != xen.HVM:
		return nil
	case spec.VNC:
		return Config{set("serial", "pty"), set("vnc", "1"), set("vnclisten", loopback)}
	}
	return Config{set("serial", "pty"), set("vnc", "0")}
}

const loopback = "127.0.0.1"

// Disk returns what xl block-attach takes for d; it is refused as by Render.
func Disk(d xen.Disk) (string, error) {
	if err := d.Validate(); err != nil {
		return "", err
	}
	parameters, err := disk(d)
	if err != nil {
		return "", err
	}
	return parameters, nil
}

// Vif returns the arguments that xl network-attach takes for v.
func Vif(v xen.Vif) ([]string, error) {
	if err := v.Validate(); err != nil {
		return nil, err
	}
	return vif(v), nil
}

// Image says whether xl can be told to put this file into a CD-ROM drive.
func Image(file string) error {
	if err := xen.ValidImage(file); err != nil {
		return err
	}
	if _, err := disk(xen.Disk{Path: file, CDROM: true}); err != nil {
		return err
	}
	return nil
}

// disk names every parameter, because positions have exceptions; target comes
// last since it takes the rest. Whether an image is served by QEMU or by the
// kernel is left to xl.
func disk(d xen.Disk) (string, *xen.FieldError) {
	form, backend, what := targetForm, "backendtype=phy", "below /dev "
	if d.CDROM {
		form, backend, what = imageForm, "devtype=cdrom", ""
	}
	if !form.MatchString(d.Path) || path.Clean(d.Path) != d.Path {
		return "", &xen.FieldError{Field: "path", Value: d.Path[:min(len(d.Path), 64)], Why: "is not a path " + what + "of A-Z a-z 0-9 _ + . / : -"}
	}
	access := "rw"
	if d.ReadOnly {
		access = "ro"
	}
	return fmt.Sprintf("format=raw,vdev=%s,access=%s,%s,target=%s", d.Dev, access, backend, d.Path), nil
}

func vif(v xen.Vif) []string {
	out := []string{"mac=" + v.MAC.String(), "bridge=" + v.Bridge, "vifname=" + v.Name}
	if v.Rate != 0 {
		out = append(out, fmt.Sprintf("rate=%dB/s", v.Rate/8))
	}
	return out
}

func set(key, value string) Assignment { return Assignment{Key: key, Value: String(value)} }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
