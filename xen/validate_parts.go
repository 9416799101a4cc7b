package xen

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// limits are how far a domain may grow and what it gets of the CPUs.
func (v *validation) limits(s Spec) {
	mib := s.MaxMemory%(1<<20) == 0
	v.check(s.MaxMemory == 0 || mib && s.MaxMemory >= s.Memory && s.MaxMemory <= MaxMemory, "max_memory", fmt.Sprint(s.MaxMemory),
		"must be 0 or a multiple of 1 MiB from memory to 1 TiB, in bytes")
	v.check(s.MaxVCPUs == 0 || s.MaxVCPUs >= s.VCPUs && s.MaxVCPUs <= MaxVCPUs, "max_vcpus", fmt.Sprint(s.MaxVCPUs), "must be 0, or vcpus to 128")
	v.share(Share{Weight: s.WithDefaults().Weight, Cap: s.Cap}, max(s.VCPUs, s.MaxVCPUs))
	v.check(len(s.CPUID) <= 32, "cpuid", fmt.Sprint(len(s.CPUID)), "has more than 32 lines")
	for i, line := range s.CPUID {
		v.check(cpuidForm.MatchString(line), fmt.Sprintf("cpuid[%d]", i), line, "must be as 0x7,0:ebx= and 32 of 0, 1 and x")
	}
}

func (v *validation) share(s Share, vcpus int) {
	v.check(s.Weight >= 1 && s.Weight <= 65535, "weight", fmt.Sprint(s.Weight), "must be 1 to 65535")
	v.check(s.Cap >= 0 && s.Cap <= 100*vcpus, "cap", fmt.Sprint(s.Cap), "must be 0 to 100 for each vCPU, in percent of one CPU")
}

// machine is what only an emulated one has.
func (v *validation) machine(s Spec) {
	v.check(bootForm.MatchString(s.Boot), "boot", s.Boot, "must be up to three of c, d and n")
	if s.Type == HVM {
		return
	}
	v.check(s.Boot == "", "boot", s.Boot, "is for HVM domains")
	v.check(!s.VNC, "vnc", "true", "is for HVM domains")
	for i, d := range s.Disks {
		v.check(!d.CDROM, fmt.Sprintf("disks[%d].cdrom", i), d.Dev, "is for HVM domains; others read an image as a read-only disk")
	}
}

// disks also refuses one path in two places if one of them writes: Xen itself
// looks only at other domains. An emulated machine has hdc and xvdc in one
// place.
func (v *validation) disks(disks []Disk) {
	for i, d := range disks {
		field := fmt.Sprintf("disks[%d]", i)
		v.disk(field, d)
		for _, other := range disks[:i] {
			same := d.Dev == other.Dev || (d.CDROM || other.CDROM) && last(d.Dev) == last(other.Dev)
			v.check(!same, field+".dev", d.Dev, "is there twice")
			v.check(!d.Clashes(other), field+".path", d.Path, "is there twice and writable")
		}
	}
}

func last(s string) string { return s[max(0, len(s)-1):] }

// Clashes reports whether d and other name one path and at least one of them
// writes to it.
func (d Disk) Clashes(other Disk) bool {
	return d.Path != "" && d.Path == other.Path && !(d.readsOnly() && other.readsOnly())
}

func (d Disk) readsOnly() bool { return d.ReadOnly || d.CDROM }

func (v *validation) disk(field string, d Disk) {
	v.path(field+".path", d.Path)
	if d.CDROM {
		v.check(ValidDrive(d.Dev), field+".dev", d.Dev, "must be hda to hdd for a CD-ROM drive")
		v.image(field+".path", d.Path)
		v.check(d.ReadOnly, field+".read_only", "false", "must be true for a CD-ROM drive")
		return
	}
	v.check(ValidDisk(d.Dev), field+".dev", d.Dev, "must be xvda to xvdp")
}

// ValidImage tells whether a CD-ROM drive may show the guest this path: a file
// that ends in .iso, and not just any file of dom0. (QEMU can not change to a
// device.)
func ValidImage(path string) error {
	var v validation
	v.path("path", path)
	v.image("path", path)
	return errors.Join(v.errs...)
}

func (v *validation) image(field, p string) {
	v.check(strings.HasSuffix(p, ".iso"), field, p, "must end in .iso for a CD-ROM drive")
}

func (v *validation) vifs(vifs []Vif) {
	for i, n := range vifs {
		field := fmt.Sprintf("vifs[%d]", i)
		v.vif(field, n)
		for _, other := range vifs[:i] {
			v.check(other.Name != n.Name, field+".name", n.Name, "is there twice")
			v.check(other.MAC != n.MAC, field+".mac", n.MAC.String(), "is there twice")
		}
	}
}

func (v *validation) vif(field string, n Vif) {
	v.check(validLink(n.Name), field+".name", n.Name, "must be 1 to 15 of A-Z a-z 0-9 _ . - and not start with a dash")
	v.check(validLink(n.Bridge), field+".bridge", n.Bridge, "must be 1 to 15 of A-Z a-z 0-9 _ . - and not start with a dash")
	v.check(!n.MAC.IsZero() && n.MAC[0]&1 == 0, field+".mac", n.MAC.String(), "must be a unicast address")
	ok := n.Rate == 0 || n.Rate >= MinVifRate && n.Rate <= MaxVifRate && n.Rate%8 == 0
	v.check(ok, field+".rate", strconv.FormatInt(n.Rate, 10), "must be 0, or 8 kbit/s to 32 Gbit/s in whole bytes a second")
}
