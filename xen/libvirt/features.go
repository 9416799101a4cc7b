package libvirt

import (
	"context"
	"errors"

	rpc "github.com/digitalocean/go-libvirt"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Features implements xen.Featurer. Live is empty: guests under libvirt move
// cold. What is missing is found by asking for it where it can do nothing: of a
// domain that does not exist, and by XML that is none. What no libvirt can is
// missing always: see UpdateConfig and Save.
func (d *Driver) Features(ctx context.Context) (f xen.Features, err error) {
	p, err := d.platform(ctx)
	if err == nil {
		f.Types = p.types()
		f.Missing, err = d.missing(ctx)
	}
	if err != nil {
		return xen.Features{}, verb.Wrap("features", "", err)
	}
	if !p.isXen() {
		f.Missing = append(f.Missing, "restore", "console", "screen")
	}
	f.Missing = append(f.Missing, "update config", "save and leave paused")
	return f, nil
}

// nobody is a domain that no host has: UUIDs of version 0 are not given out.
func nobody() rpc.Domain {
	return rpc.Domain{Name: "nobody", UUID: rpc.UUID{15: 1}, ID: notRunning}
}

func (d *Driver) missing(ctx context.Context) (verbs []string, err error) {
	paused, err := d.startsPaused(ctx)
	if err != nil {
		return nil, err
	}
	if !paused {
		verbs = append(verbs, "create paused")
	}
	for _, p := range probes() {
		err := d.ask(ctx, p.ask)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			verbs = append(verbs, p.verbs...)
		case codeOf(err) == rpc.ErrOk && err != nil:
			return nil, err // not the daemon's answer
		}
	}
	return verbs, nil
}

// A probe asks for what the verbs need.
type probe struct {
	verbs []string
	ask   func(l *rpc.Libvirt) error
}

func probes() []probe {
	const live = uint32(rpc.DomainDeviceModifyLive)
	someDisk, someVif, someDrive := disk(xen.Disk{Dev: "xvdp", Path: "/dev/null"}), vif(xen.Vif{Name: "nobody", Bridge: "nobody"}), drive("hdd", "")
	return []probe{
		{[]string{"rename"}, func(l *rpc.Libvirt) error {
			_, err := l.DomainRename(nobody(), rpc.OptString{"nobody2"}, 0)
			return err
		}},
		{[]string{"set memory"}, func(l *rpc.Libvirt) error {
			return l.DomainSetMemoryFlags(nobody(), 1, uint32(rpc.DomainMemLive))
		}},
		{[]string{"set vcpus"}, func(l *rpc.Libvirt) error {
			return l.DomainSetVcpusFlags(nobody(), 1, uint32(rpc.DomainVCPULive))
		}},
		{[]string{"pin"}, func(l *rpc.Libvirt) error { return l.DomainPinVcpu(nobody(), 0, []byte{1}) }},
		{[]string{"set share"}, func(l *rpc.Libvirt) error {
			return l.DomainSetSchedulerParametersFlags(nobody(), shareParams(xen.Share{Weight: 1}), 0)
		}},
		{[]string{"reboot"}, func(l *rpc.Libvirt) error { return l.DomainReboot(nobody(), rpc.DomainRebootDefault) }},
		{[]string{"attach disk", "attach vif"}, func(l *rpc.Libvirt) error {
			text, err := someVif.Marshal()
			if err == nil {
				err = l.DomainAttachDeviceFlags(nobody(), text, live)
			}
			return err
		}},
		{[]string{"detach disk", "detach vif"}, func(l *rpc.Libvirt) error {
			text, err := someDisk.Marshal()
			if err == nil {
				err = l.DomainDetachDeviceFlags(nobody(), text, live)
			}
			return err
		}},
		{[]string{"insert", "eject"}, func(l *rpc.Libvirt) error {
			text, err := someDrive.Marshal()
			if err == nil {
				err = l.DomainUpdateDeviceFlags(nobody(), text, rpc.DomainDeviceModifyLive)
			}
			return err
		}},
		{[]string{"save"}, func(l *rpc.Libvirt) error {
			_, _, err := l.DomainMigrateBegin3Params(nobody(), nil, 0)
			return err
		}},
	}
}

// startsPaused reports whether the host knows VIR_DOMAIN_START_PAUSED: libvirt
// looks at the flags before it looks at the XML.
func (d *Driver) startsPaused(ctx context.Context) (bool, error) {
	err := d.start(ctx, "<nothing/>", true)
	switch code := codeOf(err); code {
	case rpc.ErrInvalidArg, rpc.ErrNoSupport:
		return false, nil
	case rpc.ErrOk:
		return false, err
	}
	return true, nil
}
