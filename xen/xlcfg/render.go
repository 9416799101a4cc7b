package xlcfg

import (
	"fmt"
	"path"
	"regexp"

	"github.com/xenhost/xenhost/xen"
)

// targetForm is what may stand behind target= in a disk: a newline would begin
// a new parameter there, and a last comma would be lost.
var targetForm = regexp.MustCompile(`^/dev/[A-Za-z0-9_+./:-]+$`)

// Render returns the configuration from which xl create makes spec. The spec
// must pass Validate, and its disks must lie below /dev, written without "..";
// otherwise the error matches xen.ErrInvalid.
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
		set("kernel", spec.Kernel),
	}
	if spec.Ramdisk != "" {
		c = append(c, set("ramdisk", spec.Ramdisk))
	}
	if spec.Cmdline != "" {
		c = append(c, set("cmdline", spec.Cmdline))
	}
	if spec.TSCMode != "" {
		c = append(c, set("tsc_mode", spec.TSCMode))
	}
	c = append(c,
		set("on_poweroff", "destroy"),
		set("on_reboot", orElse(spec.OnReboot, "restart")),
		set("on_crash", orElse(spec.OnCrash, "destroy")),
		set("on_watchdog", "destroy"),
		set("on_soft_reset", "destroy"), // a feature that guests need only for kexec, with a history of holes
	)
	disks, vifs := List(), List()
	for i, d := range spec.Disks {
		if !targetForm.MatchString(d.Path) || path.Clean(d.Path) != d.Path {
			return "", &xen.FieldError{Field: fmt.Sprintf("disks[%d].path", i), Value: d.Path[:min(len(d.Path), 64)], Why: "is not a path below /dev of A-Z a-z 0-9 _ + . / : -"}
		}
		disks.List = append(disks.List, String(disk(d)))
	}
	for _, v := range spec.Vifs {
		vifs.List = append(vifs.List, String(fmt.Sprintf("mac=%s,bridge=%s,vifname=%s", v.MAC, v.Bridge, v.Name)))
	}
	c = append(c, Assignment{Key: "disk", Value: disks}, Assignment{Key: "vif", Value: vifs})
	return c.String(), nil
}

// disk names every parameter, because positions have exceptions; target comes
// last since it takes the rest.
func disk(d xen.Disk) string {
	access := "rw"
	if d.ReadOnly {
		access = "ro"
	}
	return fmt.Sprintf("format=raw,vdev=%s,access=%s,backendtype=phy,target=%s", d.Dev, access, d.Path)
}

func set(key, value string) Assignment { return Assignment{Key: key, Value: String(value)} }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
