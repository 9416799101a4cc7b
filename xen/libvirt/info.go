package libvirt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	rpc "github.com/digitalocean/go-libvirt"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Info implements xen.Domains. libvirt knows no more of Xen's version than its
// first two numbers (4.17), and does not say whether shadow paging is there.
//
//	virNodeGetInfo, virNodeGetFreeMemory, virConnectGetVersion, virConnectGetCapabilities
func (d *Driver) Info(ctx context.Context) (xen.HostInfo, error) {
	info, err := d.info(ctx)
	if err == nil {
		var p platform
		p, err = d.platform(ctx)
		info.VirtCaps = p.virtCaps
	}
	if err != nil {
		return xen.HostInfo{}, verb.Wrap("info", "", err)
	}
	return info, nil
}

// info is Info without VirtCaps.
func (d *Driver) info(ctx context.Context) (info xen.HostInfo, err error) {
	err = d.call(ctx, d.opts.Limits.Query, func(l *rpc.Libvirt) error {
		if info.Hostname, err = l.ConnectGetHostname(); err != nil {
			return err
		}
		version, err := l.ConnectGetVersion()
		if err != nil {
			return err
		}
		info.XenVersion = versionText(version)
		_, memory, cpus, _, _, _, _, _, err := l.NodeGetInfo()
		if err != nil {
			return err
		}
		free, err := l.NodeGetFreeMemory()
		if err != nil {
			return err
		}
		info.CPUs = int(cpus)
		info.TotalMemory, info.FreeMemory = wholeMiB(memory), wholeMiB(free>>10)
		info.Scheduler, err = scheduler(l)
		return err
	})
	return info, err
}

// scheduler asks for the scheduler of dom0, since libvirt knows none of the
// host; "": libvirt sees no dom0 here.
func scheduler(l *rpc.Libvirt) (string, error) {
	all, _, err := l.ConnectListAllDomains(1, rpc.ConnectListDomainsActive)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(all, func(d rpc.Domain) bool { return d.ID == 0 })
	if i < 0 {
		return "", nil
	}
	name, _, err := l.DomainGetSchedulerType(all[i])
	if err != nil && errors.Is(explain(err), errors.ErrUnsupported) {
		return "", nil
	}
	return name, err
}

// versionText reads major * 1000000 + minor * 1000 + release.
func versionText(v uint64) string {
	text := fmt.Sprintf("%d.%d", v/1e6, v/1e3%1e3)
	if v%1e3 != 0 {
		text += fmt.Sprintf(".%d", v%1e3)
	}
	return text
}
