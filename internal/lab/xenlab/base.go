package xenlab

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// EnvSources names a file of apt sources for Debian bookworm, or a mirror's
// URL. Without it the sources of this machine are used if it is a bookworm,
// and else mmdebstrap's default.
const EnvSources = "XENHOST_LAB_SOURCES"

// buildBase makes a file system of Debian's packages, and takes out what boots it.
func (l *Lab) buildBase(ctx context.Context, dir string) error {
	root := filepath.Join(dir, "rootfs")
	argv := append([]string{"mmdebstrap", "--variant=minbase", "--skip=check/qemu",
		"--include=" + strings.Join(readPackages(packageList), ",")}, baseHooks()...)
	argv = append(argv, "bookworm", root)
	if sources := aptSources(); sources != "" {
		argv = append(argv, sources)
	}
	if err := l.tool(ctx, argv...); err != nil {
		return err
	}
	for name, pattern := range map[string]string{
		"vmlinuz":         "boot/vmlinuz-*",
		"xen.gz":          "boot/xen-4.17-amd64.gz",
		"xen-blkfront.ko": "lib/modules/*/kernel/drivers/block/xen-blkfront.ko",
		"xen-netfront.ko": "lib/modules/*/kernel/drivers/net/xen-netfront.ko",
	} {
		found, _ := filepath.Glob(filepath.Join(root, pattern))
		if len(found) != 1 {
			return fmt.Errorf("%s: want one, there are %d", pattern, len(found))
		}
		data, err := os.ReadFile(found[0])
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	if err := unpack(filepath.Join(dir, "xen.gz"), filepath.Join(dir, "xen")); err != nil {
		return err
	}
	if err := l.plainKernel(ctx, dir); err != nil {
		return err
	}
	initrd, err := dom0Initrd(root)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "initrd.img"), initrd, 0o644); err != nil {
		return err
	}
	img := filepath.Join(dir, "base.img")
	if err := l.tool(ctx, "mke2fs", "-q", "-t", "ext4", "-d", root, img, "3G"); err != nil {
		return err
	}
	return os.RemoveAll(root)
}

// plainKernel unpacks the kernel for guests: libxl would do it at each create,
// which takes most of the time of one under emulation.
func (l *Lab) plainKernel(ctx context.Context, dir string) error {
	packed, err := os.ReadFile(filepath.Join(dir, "vmlinuz"))
	if err != nil {
		return err
	}
	part, err := payload(packed)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, "vmlinux")
	if err := os.WriteFile(name+".xz", part, 0o644); err != nil {
		return err
	}
	// The kernel's build appends its size to the xz stream.
	return l.tool(ctx, "xz", "-d", "--single-stream", name+".xz")
}

// aptSources returns what mmdebstrap gets its packages from; "" is its default.
func aptSources() string {
	if s := os.Getenv(EnvSources); s != "" {
		return s
	}
	release, _ := os.ReadFile("/etc/os-release")
	if !bytes.Contains(release, []byte("VERSION_CODENAME=bookworm")) {
		return ""
	}
	for _, name := range []string{"/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"} {
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	return ""
}

func unpack(from, to string) error {
	packed, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	return os.WriteFile(to, plain, 0o644)
}
