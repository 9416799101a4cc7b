package xl

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// Info implements xen.Domains.
//
//	xl info
func (d *Driver) Info(ctx context.Context) (xen.HostInfo, error) {
	info, err := d.info(ctx)
	return info, verb.Wrap("info", "", err)
}

func (d *Driver) info(ctx context.Context) (xen.HostInfo, error) {
	a := d.run(ctx, d.opts.Limits.Query, "xl", "info")
	if a.err != nil {
		return xen.HostInfo{}, a.failure()
	}
	return parseInfo(a.stdout)
}

// Features implements xen.Featurer by what xl info says of the host.
func (d *Driver) Features(ctx context.Context) (xen.Features, error) {
	info, err := d.info(ctx)
	if err != nil {
		return xen.Features{}, verb.Wrap("features", "", err)
	}
	return xen.FeaturesOf(info.VirtCaps), nil
}

// parseInfo reads the lines `key : value`; memory is in MiB there.
func parseInfo(text string) (info xen.HostInfo, err error) {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		values[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	info.Hostname, info.XenVersion = values["host"], values["xen_version"]
	info.Scheduler = values["xen_scheduler"]
	info.VirtCaps = strings.Fields(values["virt_caps"])
	var cpus int64
	for _, n := range []struct {
		key  string
		into *int64
	}{{"nr_cpus", &cpus}, {"total_memory", &info.TotalMemory}, {"free_memory", &info.FreeMemory}} {
		if *n.into, err = strconv.ParseInt(values[n.key], 10, 40); err != nil || *n.into < 0 {
			return xen.HostInfo{}, fmt.Errorf("xl info says %s is %q", n.key, values[n.key])
		}
	}
	info.CPUs = int(cpus)
	info.TotalMemory <<= 20
	info.FreeMemory <<= 20
	return info, nil
}
