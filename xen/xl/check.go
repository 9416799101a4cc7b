package xl

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
	"github.com/xenhost/xenhost/xen/xlcfg"
)

// Check implements xen.Checker by looking at the list of domains, at xl info,
// at the files and at /sys/class/net.
func (d *Driver) Check(ctx context.Context, spec xen.Spec) error {
	return verb.Wrap("check", spec.Name, d.check(ctx, spec))
}

func (d *Driver) check(ctx context.Context, spec xen.Spec) error {
	if _, err := xlcfg.Render(spec); err != nil {
		return err
	}
	if err := d.vacant(ctx, spec); err != nil {
		return err
	}
	for _, file := range []string{spec.Kernel, spec.Ramdisk} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return err
		}
	}
	for _, v := range spec.Vifs {
		if v.Routed {
			if _, err := os.Stat(filepath.Join("/etc/xen/scripts", xen.RoutedScript)); err != nil {
				return fmt.Errorf("script of vif %s: %w", v.Name, err)
			}
			continue
		}
		if _, err := os.Stat(filepath.Join("/sys/class/net", v.Bridge, "bridge")); err != nil {
			return fmt.Errorf("bridge %s: %w", v.Bridge, err)
		}
	}
	info, err := d.info(ctx)
	if err == nil && info.FreeMemory < spec.Need() {
		err = fmt.Errorf("%w (%d MiB, needs %d)", xen.ErrNoMemory, info.FreeMemory>>20, spec.Need()>>20)
	}
	return err
}
