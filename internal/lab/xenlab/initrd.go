package xenlab

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed image/first-init
var firstInit []byte

// dom0Initrd makes the first file system of dom0 from the system in root:
// busybox and the few modules that reach the disk. Debian's own carries many
// more, and takes most of a boot under emulation.
func dom0Initrd(root string) ([]byte, error) {
	busybox, err := os.ReadFile(filepath.Join(root, "bin/busybox"))
	if err != nil {
		return nil, err
	}
	entries := []cpioEntry{
		{name: "bin", mode: cpioDir}, {name: "dev", mode: cpioDir}, {name: "mods", mode: cpioDir}, {name: "root", mode: cpioDir},
		{name: "init", mode: cpioProg, data: firstInit}, {name: "bin/busybox", mode: cpioProg, data: busybox},
	}
	modules, _ := filepath.Glob(filepath.Join(root, "lib/modules/*"))
	if len(modules) != 1 {
		return nil, fmt.Errorf("want one kernel, there are %d", len(modules))
	}
	deps, err := os.ReadFile(filepath.Join(modules[0], "modules.dep"))
	if err != nil {
		return nil, err
	}
	files, err := loadOrder(string(deps), "virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
	if err != nil {
		return nil, err
	}
	for i, f := range files {
		data, err := os.ReadFile(filepath.Join(modules[0], f))
		if err != nil {
			return nil, err
		}
		// The shell of the first init loads them in the order of the names.
		entries = append(entries, cpioEntry{name: fmt.Sprintf("mods/%02d-%s", i, path.Base(f)), mode: cpioFile, data: data})
	}
	return cpio(entries), nil
}

// loadOrder reads modules.dep and returns the files of modules with all that
// they need, each after what it needs. A line is "file: needs needs ...".
func loadOrder(deps string, names ...string) (files []string, err error) {
	for _, name := range names {
		found := false
		for line := range strings.Lines(deps) {
			file, needs, _ := strings.Cut(line, ":")
			if base, _, _ := strings.Cut(path.Base(file), "."); base != name {
				continue
			}
			found = true
			all := append([]string{file}, strings.Fields(needs)...)
			slices.Reverse(all)
			for _, f := range all {
				if !slices.Contains(files, f) {
					files = append(files, f)
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("module %s is not in modules.dep", name)
		}
	}
	return files, nil
}

// payload returns the compressed kernel in a bzImage, by the fields of its
// setup header (Linux: Documentation/x86/boot.rst).
func payload(bzImage []byte) ([]byte, error) {
	const magicAt, sectorsAt, offsetAt = 0x202, 0x1f1, 0x248
	if len(bzImage) < 0x400 || !bytes.Equal(bzImage[magicAt:magicAt+4], []byte("HdrS")) {
		return nil, fmt.Errorf("kernel is no bzImage")
	}
	from := (int64(bzImage[sectorsAt]) + 1) * 512
	from += int64(binary.LittleEndian.Uint32(bzImage[offsetAt:]))
	to := from + int64(binary.LittleEndian.Uint32(bzImage[offsetAt+4:]))
	if to > int64(len(bzImage)) {
		return nil, fmt.Errorf("kernel is cut short")
	}
	return bzImage[from:to], nil
}
