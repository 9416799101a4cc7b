package libvirt

import (
	"errors"
	"fmt"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/xenhost/xenhost/xen"
)

// refuse tells what Validate lets pass and this driver does not: strings that
// XML can not carry (ErrInvalid), and what libvirt has no word for
// (errors.ErrUnsupported).
func refuse(spec xen.Spec) error {
	var errs []error
	for _, s := range []struct{ field, value string }{
		{"kernel", spec.Kernel}, {"ramdisk", spec.Ramdisk}, {"cmdline", spec.Cmdline},
	} {
		errs = append(errs, refuseText(s.field, s.value))
	}
	for i, d := range spec.Disks {
		errs = append(errs, refuseText(fmt.Sprintf("disks[%d].path", i), d.Path))
	}
	if spec.Type == xen.HVM {
		errs = append(errs, fmt.Errorf("type hvm: this driver makes pvh and pv: %w", errors.ErrUnsupported))
	}
	if len(spec.CPUID) > 0 {
		errs = append(errs, fmt.Errorf("cpuid: libvirt has no word for single bits: %w", errors.ErrUnsupported))
	}
	for _, v := range spec.Vifs {
		if v.Rate != 0 {
			errs = append(errs, fmt.Errorf("rate of vif %s: libvirt counts it in another unit: %w", v.Name, errors.ErrUnsupported))
		}
	}
	return errors.Join(errs...)
}

// refuseText refuses the two characters that are no control characters and yet
// can not be written in XML; an XML writer would put another in their place.
func refuseText(field, s string) error {
	if strings.ContainsAny(s, "\ufffe\uffff") {
		return &xen.FieldError{Field: field, Value: s[:min(len(s), 64)], Why: "has a character that XML can not carry"}
	}
	return nil
}

// render returns the XML from which virDomainCreateXML makes spec on a host
// that is p. Weight and Cap are not in it: they are set before the domain runs.
func render(spec xen.Spec, p platform) (string, error) {
	if err := errors.Join(spec.Validate(), refuse(spec)); err != nil {
		return "", err
	}
	m, ok := p.machines[spec.Type]
	if !ok {
		return "", fmt.Errorf("this host runs no %s domains: %w", spec.Type, errors.ErrUnsupported)
	}
	spec = spec.WithDefaults()
	dom := libvirtxml.Domain{
		Type: m.domain, Name: spec.Name, UUID: spec.UUID.String(),
		Memory:        &libvirtxml.DomainMemory{Unit: "KiB", Value: uint(spec.MaxMemory >> 10)},
		CurrentMemory: &libvirtxml.DomainCurrentMemory{Unit: "KiB", Value: uint(spec.Memory >> 10)},
		VCPU:          &libvirtxml.DomainVCPU{Placement: "static", Value: uint(spec.MaxVCPUs), Current: uint(spec.VCPUs)},
		OS: &libvirtxml.DomainOS{
			Type:   &libvirtxml.DomainOSType{Arch: m.arch, Machine: m.machine, Type: m.os},
			Kernel: spec.Kernel, Initrd: spec.Ramdisk, Cmdline: spec.Cmdline,
		},
		Clock:      &libvirtxml.DomainClock{Offset: "utc", Timer: timers(spec.TSCMode)},
		OnPoweroff: "destroy", OnReboot: spec.OnReboot, OnCrash: spec.OnCrash,
		Devices: &libvirtxml.DomainDeviceList{},
	}
	for _, d := range spec.Disks {
		dom.Devices.Disks = append(dom.Devices.Disks, disk(d))
	}
	for i, v := range spec.Vifs {
		for _, prefix := range p.taken {
			if strings.HasPrefix(v.Name, prefix) {
				return "", &xen.FieldError{Field: fmt.Sprintf("vifs[%d].name", i), Value: v.Name, Why: "libvirt keeps names that begin with " + prefix + " for itself"}
			}
		}
		dom.Devices.Interfaces = append(dom.Devices.Interfaces, vif(v))
	}
	return dom.Marshal()
}

// timers says how the guest reads its time stamp counter.
func timers(tscMode string) []libvirtxml.DomainTimer {
	mode := map[string]string{"native": "native", "native_paravirt": "paravirt", "always_emulate": "emulate"}[tscMode]
	if mode == "" {
		return nil
	}
	return []libvirtxml.DomainTimer{{Name: "tsc", Mode: mode}}
}

// disk names the kernel's own backend: for a file libvirt would want QEMU.
func disk(d xen.Disk) libvirtxml.DomainDisk {
	out := libvirtxml.DomainDisk{
		Device: "disk",
		Driver: &libvirtxml.DomainDiskDriver{Name: "phy", Type: "raw"},
		Source: &libvirtxml.DomainDiskSource{Block: &libvirtxml.DomainDiskSourceBlock{Dev: d.Path}},
		Target: &libvirtxml.DomainDiskTarget{Dev: d.Dev, Bus: "xen"},
	}
	if d.ReadOnly {
		out.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	}
	return out
}

func vif(v xen.Vif) libvirtxml.DomainInterface {
	return libvirtxml.DomainInterface{
		MAC:    &libvirtxml.DomainInterfaceMAC{Address: v.MAC.String()},
		Source: &libvirtxml.DomainInterfaceSource{Bridge: &libvirtxml.DomainInterfaceSourceBridge{Bridge: v.Bridge}},
		Target: &libvirtxml.DomainInterfaceTarget{Dev: v.Name},
	}
}
