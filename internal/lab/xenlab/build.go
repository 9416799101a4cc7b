package xenlab

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// image is a built recipe.
type image struct {
	name   string
	base   string // folder with xen, vmlinuz, initrd.img, base.img
	dir    string // folder with root.img, and the disks of hosts made from it
	qemu   string // version
	rootFS string
}

// Build has the image of a host ready and returns its name. What was built
// from the same recipe is used again; what was interrupted does not count.
func (l *Lab) Build(ctx context.Context) (string, error) {
	img, err := l.image(ctx)
	if err != nil {
		return "", err
	}
	return img.name, nil
}

// image builds what is not there.
func (l *Lab) image(ctx context.Context) (*image, error) {
	l.prepare.Lock()
	defer l.prepare.Unlock()
	if l.prepared != nil {
		return l.prepared, nil
	}
	if err := l.install(ctx); err != nil {
		return nil, err
	}
	key, err := l.key(ctx)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	r := recipe{packages: packageList}
	base, err := l.once(ctx, r.baseName(), l.buildBase)
	if err != nil {
		return nil, err
	}
	guest, err := l.guestRamdisk(ctx, base)
	if err != nil {
		return nil, fmt.Errorf("lab: guest: %w", err)
	}
	r.files = imageFiles(guest, key)
	dir, err := l.once(ctx, r.name(), func(ctx context.Context, dir string) error {
		return l.buildRoot(ctx, base, dir, r.files)
	})
	if err != nil {
		return nil, err
	}
	version, err := l.toolOutput(ctx, "qemu-system-x86_64", "--version")
	if err != nil {
		return nil, err
	}
	l.prepared = &image{name: r.name(), base: base, dir: dir, qemu: string(version), rootFS: filepath.Join(dir, "root.img")}
	l.forget(r.baseName(), r.name())
	return l.prepared, nil
}

// once makes a folder by build, under its name only when it is whole and
// durable. One that is there is used.
func (l *Lab) once(ctx context.Context, name string, build func(ctx context.Context, dir string) error) (string, error) {
	dir := filepath.Join(l.dir, name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if l.lock == nil {
		return "", fmt.Errorf("lab: %s: %w (build it first)", name, fs.ErrNotExist)
	}
	l.log.Info("building", "name", name)
	unfinished := dir + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	if err := os.MkdirAll(unfinished, 0o755); err != nil {
		return "", err
	}
	if err := build(ctx, unfinished); err != nil {
		return "", fmt.Errorf("lab: build %s: %w", name, err)
	}
	f, err := os.Open(unfinished)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return "", os.NewSyscallError("syncfs", err)
	}
	return dir, os.Rename(unfinished, dir)
}

// forget removes what older recipes made, the disks of hosts included, unless
// a host still runs on one.
func (l *Lab) forget(keep ...string) {
	if l.lock == nil {
		return
	}
	for _, h := range l.hosts {
		if r, ok := h.running(); ok {
			keep = append(keep, r.Image, r.Base)
		}
	}
	for _, pattern := range []string{"base-*", "image-*"} {
		old, _ := filepath.Glob(filepath.Join(l.dir, pattern))
		for _, dir := range old {
			if name := filepath.Base(dir); !slices.Contains(keep, name) {
				l.log.Info("removing an old image", "name", name)
				_ = os.RemoveAll(dir)
			}
		}
	}
}
