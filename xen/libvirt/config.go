package libvirt

import (
	"context"
	"errors"
	"fmt"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Config implements xen.Configurer.
//
//	virDomainGetXMLDesc, virDomainGetSchedulerParameters
func (d *Driver) Config(ctx context.Context, id uuid.UUID) (spec xen.Spec, err error) {
	err = d.verbs.On(ctx, "config", id.String(), id, func() error {
		dom, err := d.lookup(ctx, id)
		if err == nil {
			spec, err = d.config(ctx, dom)
		}
		return err
	})
	return spec, err
}

// config reads what a domain is made of. A scheduler without weights leaves
// the default.
func (d *Driver) config(ctx context.Context, dom xen.Domain) (spec xen.Spec, err error) {
	text, err := d.xml(ctx, dom)
	if err == nil {
		spec, err = specOf(text)
	}
	if err != nil || dom.ID == notRunning {
		return spec, err
	}
	err = d.ask(ctx, func(l *rpc.Libvirt) error {
		params, err := l.DomainGetSchedulerParameters(handle(dom), maxParams)
		if err != nil {
			return err
		}
		share, err := shareOf(params)
		if err == nil {
			spec.Weight, spec.Cap = share.Weight, share.Cap
		}
		return err
	})
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return spec, err
}

func (d *Driver) xml(ctx context.Context, dom xen.Domain) (text string, err error) {
	err = d.ask(ctx, func(l *rpc.Libvirt) (err error) {
		text, err = l.DomainGetXMLDesc(handle(dom), 0)
		return err
	})
	return text, err
}

// UpdateConfig implements xen.Configurer. libvirt keeps another configuration
// for the next start only of domains that it has a definition of, which it then
// never forgets, and those of this driver have none: errors.ErrUnsupported.
func (d *Driver) UpdateConfig(ctx context.Context, spec xen.Spec) error {
	if err := errors.Join(spec.Validate(), refuse(spec)); err != nil {
		return verb.Wrap("update config", spec.Name, err)
	}
	return d.onLive(ctx, "update config", spec.UUID, func(dom xen.Domain) error {
		if spec.Name != dom.Name {
			return verb.Refused("name", spec.Name, "is not its name")
		}
		return fmt.Errorf("libvirt has no other configuration for the next start of a transient domain: %w", errors.ErrUnsupported)
	})
}

// specOf reads the XML of a domain, as far as a Spec has a place for it.
func specOf(text string) (xen.Spec, error) {
	var dom libvirtxml.Domain
	if err := dom.Unmarshal(text); err != nil {
		return xen.Spec{}, fmt.Errorf("domain XML: %w", err)
	}
	id, err := uuid.Parse(dom.UUID)
	if err != nil {
		return xen.Spec{}, fmt.Errorf("domain XML: %w", err)
	}
	if dom.OS == nil || dom.OS.Type == nil || dom.Memory == nil || dom.VCPU == nil {
		return xen.Spec{}, errors.New("domain XML: it has no os, memory or vcpu")
	}
	spec := xen.Spec{
		Name: dom.Name, UUID: id, Kernel: dom.OS.Kernel, Ramdisk: dom.OS.Initrd, Cmdline: dom.OS.Cmdline,
		MaxVCPUs: int(dom.VCPU.Value), VCPUs: int(dom.VCPU.Value), OnReboot: dom.OnReboot, OnCrash: dom.OnCrash,
		TSCMode: tscMode(dom.Clock),
	}
	spec.Type, _ = typeOf(dom.OS.Type.Type)
	if dom.VCPU.Current > 0 {
		spec.VCPUs = int(dom.VCPU.Current)
	}
	if spec.MaxMemory, err = bytesOf(dom.Memory.Value, dom.Memory.Unit); err != nil {
		return xen.Spec{}, err
	}
	spec.Memory = spec.MaxMemory
	if dom.CurrentMemory != nil {
		if spec.Memory, err = bytesOf(dom.CurrentMemory.Value, dom.CurrentMemory.Unit); err != nil {
			return xen.Spec{}, err
		}
	}
	if spec.Type == xen.HVM {
		spec.Boot = bootOrder(dom.OS.BootDevices)
	}
	if dom.Devices != nil {
		err = devicesOf(&spec, dom.Devices)
	}
	return spec.WithDefaults(), err
}

func devicesOf(spec *xen.Spec, devices *libvirtxml.DomainDeviceList) error {
	for _, g := range devices.Graphics {
		spec.VNC = spec.VNC || g.VNC != nil
	}
	for _, x := range devices.Disks {
		spec.Disks = append(spec.Disks, diskOf(x))
	}
	for _, x := range devices.Interfaces {
		v := xen.Vif{}
		if x.MAC != nil {
			mac, err := xen.ParseMAC(x.MAC.Address)
			if err != nil {
				return fmt.Errorf("domain XML: %w", err)
			}
			v.MAC = mac
		}
		if x.Source != nil && x.Source.Bridge != nil {
			v.Bridge = x.Source.Bridge.Bridge
		}
		if x.Target != nil {
			v.Name = x.Target.Dev
		}
		spec.Vifs = append(spec.Vifs, v)
	}
	return nil
}

func diskOf(x libvirtxml.DomainDisk) xen.Disk {
	d := xen.Disk{ReadOnly: x.ReadOnly != nil, CDROM: x.Device == "cdrom"}
	if x.Target != nil {
		d.Dev = x.Target.Dev
	}
	if x.Source != nil && x.Source.Block != nil {
		d.Path = x.Source.Block.Dev
	}
	if x.Source != nil && x.Source.File != nil {
		d.Path = x.Source.File.File
	}
	return d
}

// bytesOf reads a size; libvirt writes KiB.
func bytesOf(n uint, unit string) (int64, error) {
	if unit != "" && unit != "KiB" || n > xen.MaxMemory<<4>>10 {
		return 0, fmt.Errorf("domain XML: a memory of %d %q", n, unit)
	}
	return int64(n) << 10, nil
}

// tscMode is what timers was given.
func tscMode(clock *libvirtxml.DomainClock) string {
	if clock != nil {
		for _, t := range clock.Timer {
			if t.Name == "tsc" {
				return map[string]string{"native": "native", "paravirt": "native_paravirt", "emulate": "always_emulate"}[t.Mode]
			}
		}
	}
	return ""
}
