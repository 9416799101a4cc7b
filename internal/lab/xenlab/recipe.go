package xenlab

import (
	_ "embed"
	"os"
	"strings"
)

// builderVersion changes when the same recipe is to be built in another way.
const builderVersion = "2"

var (
	//go:embed image/packages
	packageList string
	//go:embed image/dom0-init
	dom0Init []byte
	//go:embed image/block
	blockScript []byte
)

// A recipe is all that the system of a host depends on. It has two parts,
// because the first takes minutes and the second seconds.
type recipe struct {
	packages string // of Debian bookworm
	files    []imageFile
}

// An imageFile is put in to a host's file system.
type imageFile struct {
	path string
	mode os.FileMode
	data []byte
}

// baseName names the system that Debian's packages make.
func (r recipe) baseName() string {
	parts := [][]byte{[]byte(builderVersion), []byte(r.packages), firstInit}
	for _, hook := range baseHooks() {
		parts = append(parts, []byte(hook))
	}
	return "base-" + digest(parts...)
}

// name names the whole.
func (r recipe) name() string {
	parts := [][]byte{[]byte(r.baseName())}
	for _, f := range r.files {
		parts = append(parts, []byte(f.path), []byte(f.mode.String()), f.data)
	}
	return "image-" + digest(parts...)
}

// readPackages returns the names in a list with comments.
func readPackages(list string) []string {
	var names []string
	for line := range strings.Lines(list) {
		line, _, _ = strings.Cut(line, "#")
		names = append(names, strings.Fields(line)...)
	}
	return names
}

// baseHooks are the options of mmdebstrap that make the system what it is. It
// hands each hook to a shell, with the root of the new system as $1.
func baseHooks() []string {
	return []string{
		// Nobody boots from Debian's first file system: make a small one.
		`--essential-hook=mkdir -p "$1/etc/initramfs-tools/conf.d" && echo MODULES=list >"$1/etc/initramfs-tools/conf.d/lab"`,
		// No service starts when a package is installed.
		`--customize-hook=printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"; chmod +x "$1/usr/sbin/policy-rc.d"`,
		// libvirt 9 knows no CPU model for what Xen shows of an emulated AMD CPU, and its QEMU driver wants a user that is not there.
		`--customize-hook=sed -i "/name=.\(sep\|vme\|svm\)./d" "$1/usr/share/libvirt/cpu_map/x86_kvm64.xml"; rm -f "$1"/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so`,
		`--customize-hook=rm -rf "$1/var/cache/apt" "$1/usr/share/doc" "$1/usr/share/man" "$1/usr/share/locale"; mkdir -p "$1/lab" "$1/root/.ssh"; chmod 700 "$1/root/.ssh"; rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/xen/scripts/block"`,
	}
}
