package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"libvirt.org/go/libvirtxml"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/internal/verb"
)

// reasons is where libxl says why it failed; libvirt only says that it did.
const reasons = "libxl's reason is in /var/log/libvirt/libxl/libxl-driver.log"

// diagnose says why a create failed that libvirt answered with err. A code that
// means something is believed; what is only "internal error" is explained by
// what the host shows.
func (d *Driver) diagnose(ctx context.Context, spec xen.Spec, paused bool, err error) error {
	if paused && errors.Is(err, xen.ErrInvalid) {
		if known, probeErr := d.startsPaused(ctx); probeErr == nil && !known {
			return fmt.Errorf("libvirt can not start it paused on this host: %w: %v", errors.ErrUnsupported, err) //nolint:errorlint // it is not ErrInvalid
		}
	}
	var e *said
	if !errors.As(err, &e) || e.means != nil {
		return err
	}
	if e.code == rpc.ErrOperationFailed || e.code == rpc.ErrOperationInvalid {
		if taken := d.vacant(ctx, spec.UUID, spec.Name); taken != nil {
			return taken // somebody was faster
		}
	}
	for _, look := range []func() error{
		func() error { return missing(spec.Disks) },
		func() error { return present(spec, xen.ErrInvalid) },
		func() error { return d.memory(ctx, spec.Memory) },
		func() error { return d.busy(ctx, spec) },
	} {
		if why := look(); why != nil && meansOurs(why) {
			return fmt.Errorf("%w: %w", why, err)
		}
	}
	return fmt.Errorf("%w; %s", err, reasons)
}

// meansOurs keeps a look that failed itself from being taken for the reason.
func meansOurs(err error) bool {
	return errors.Is(err, xen.ErrInvalid) || errors.Is(err, xen.ErrNoMemory) || errors.Is(err, xen.ErrBusy)
}

// missing looks for the disks in dom0, where this process runs.
func missing(disks []xen.Disk) error {
	for _, disk := range disks {
		if _, err := os.Stat(disk.Path); err != nil {
			return fmt.Errorf("disk %s: %w: %v", disk.Dev, xen.ErrInvalid, err) //nolint:errorlint // fs.ErrNotExist is the domain
		}
	}
	return nil
}

// present looks for the kernel, the ramdisk and the bridges. What is not there
// is reported as means, or as what the system says.
func present(spec xen.Spec, means error) error {
	look := func(what, path string) error {
		_, err := os.Stat(path)
		if err == nil || means == nil {
			return err
		}
		return fmt.Errorf("%s: %w: %v", what, means, err) //nolint:errorlint // means says what it is
	}
	for what, path := range map[string]string{"kernel": spec.Kernel, "ramdisk": spec.Ramdisk} {
		if path == "" {
			continue
		}
		if err := look(what, path); err != nil {
			return err
		}
	}
	for _, v := range spec.Vifs {
		if err := look("bridge", bridgeNode(v)); err != nil {
			return fmt.Errorf("vif %s: %w", v.Name, err)
		}
	}
	return nil
}

// bridgeNode is there if the bridge of a vif is.
func bridgeNode(v xen.Vif) string { return filepath.Join("/sys/class/net", v.Bridge, "bridge") }

// memory looks whether the host has so many bytes free.
func (d *Driver) memory(ctx context.Context, need int64) error {
	info, err := d.info(ctx)
	if err == nil && info.FreeMemory < need {
		err = fmt.Errorf("%w (%d MiB, needs %d)", xen.ErrNoMemory, info.FreeMemory>>20, need>>20)
	}
	return err
}

// busy looks in the XML of the other domains for the disks of spec.
func (d *Driver) busy(ctx context.Context, spec xen.Spec) error {
	all, err := d.known(ctx)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.ID == notRunning || uuid.UUID(other.UUID) == spec.UUID {
			continue
		}
		var text string
		err := d.call(ctx, d.opts.Limits.Query, func(l *rpc.Libvirt) (err error) {
			text, err = l.DomainGetXMLDesc(other, 0)
			return absent(err)
		})
		if err != nil {
			return err
		}
		if dev, path := shared(spec, text); dev != "" {
			return fmt.Errorf("disk %s: %s is used by %s: %w", dev, path, other.Name, xen.ErrBusy)
		}
	}
	return nil
}

// shared returns the first disk of spec that the domain with this XML also has,
// if one of the two would write.
func shared(spec xen.Spec, text string) (dev, path string) {
	var dom libvirtxml.Domain
	if dom.Unmarshal(text) != nil || dom.Devices == nil {
		return "", ""
	}
	for _, theirs := range dom.Devices.Disks {
		if theirs.Source == nil || theirs.Source.Block == nil {
			continue
		}
		for _, ours := range spec.Disks {
			if verb.SameDevice(ours.Path, theirs.Source.Block.Dev) && (!ours.ReadOnly || theirs.ReadOnly == nil) {
				return ours.Dev, ours.Path
			}
		}
	}
	return "", ""
}
