package xenlab

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// EnvSources names a file of apt sources for Debian bookworm, or a mirror's
// URL. Without it the sources of this machine are used if it is a bookworm,
// and else mmdebstrap's default.
const EnvSources = "XENHOST_LAB_SOURCES"

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

// forget removes images of older recipes, and the disks made from them, unless
// a host runs on one.
func (l *Lab) forget(keep ...string) {
	for _, h := range l.hosts {
		if r, ok := h.running(); ok && !strings.Contains(strings.Join(keep, " "), r.Image) {
			return
		}
	}
	old, _ := filepath.Glob(filepath.Join(l.dir, "*-????????????????*"))
	for _, dir := range old {
		name := filepath.Base(dir)
		if (strings.HasPrefix(name, "base-") || strings.HasPrefix(name, "image-")) && name != keep[0] && name != keep[1] && l.lock != nil {
			l.log.Info("removing an old image", "name", name)
			_ = os.RemoveAll(dir)
		}
	}
}

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
		"initrd.img":      "boot/initrd.img-*",
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
	img := filepath.Join(dir, "base.img")
	if err := l.tool(ctx, "mke2fs", "-q", "-t", "ext4", "-d", root, img, "3G"); err != nil {
		return err
	}
	return os.RemoveAll(root)
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

// imageFiles returns what the lab adds to the base. The guests run the kernel
// of dom0; GuestKernel is added by buildRoot.
func imageFiles(guest, key []byte) []imageFile {
	config := "Host *\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n"
	public := append(bytes.TrimSpace(publicPart(key)), '\n')
	return []imageFile{
		{"/lab/init", 0o755, dom0Init},
		{GuestRamdisk, 0o644, guest},
		{"/etc/xen/scripts/block", 0o755, blockScript},
		// The hosts trust each other, and this machine, by the one key of the lab.
		{"/root/.ssh/authorized_keys", 0o600, public},
		{"/root/.ssh/id_ed25519", 0o600, privatePart(key)},
		{"/root/.ssh/config", 0o600, []byte(config)},
		{"/etc/ssh/ssh_host_ed25519_key", 0o600, privatePart(key)},
	}
}

// buildRoot copies the base and writes the lab's files in to it.
func (l *Lab) buildRoot(ctx context.Context, base, dir string, files []imageFile) error {
	img := filepath.Join(dir, "root.img")
	if err := l.tool(ctx, "cp", "--sparse=always", filepath.Join(base, "base.img"), img); err != nil {
		return err
	}
	kernel, err := os.ReadFile(filepath.Join(base, "vmlinuz"))
	if err != nil {
		return err
	}
	var script bytes.Buffer
	for i, f := range append(files, imageFile{GuestKernel, 0o644, kernel}) {
		name := filepath.Join(dir, fmt.Sprintf("file%d", i))
		if err := os.WriteFile(name, f.data, f.mode); err != nil {
			return err
		}
		defer os.Remove(name)
		fmt.Fprintf(&script, "write %s %s\n", name, f.path)
		fmt.Fprintf(&script, "set_inode_field %s mode 0%o\n", f.path, 0o100000|f.mode.Perm())
	}
	commands := filepath.Join(dir, "commands")
	if err := os.WriteFile(commands, script.Bytes(), 0o600); err != nil {
		return err
	}
	defer os.Remove(commands)
	// debugfs exits 0 whatever happens; it is read back.
	if err := l.tool(ctx, "debugfs", "-w", "-f", commands, img); err != nil {
		return err
	}
	for _, f := range files {
		got, err := l.toolOutput(ctx, "debugfs", "-R", "cat "+f.path, img)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, f.data) {
			return fmt.Errorf("%s is not in the image as it should be", f.path)
		}
	}
	return nil
}

// guestRamdisk compiles the guest's init and packs it with its modules.
func (l *Lab) guestRamdisk(ctx context.Context, base string) ([]byte, error) {
	out := filepath.Join(l.dir, "run", fmt.Sprintf("guest.%d", os.Getpid()))
	defer os.Remove(out)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, guestPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, said)
	}
	entries := []cpioEntry{}
	for _, name := range []string{"dev", "proc", "sys", "mods", "sbin"} {
		entries = append(entries, cpioEntry{name: name, mode: cpioDir})
	}
	program, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	entries = append(entries, cpioEntry{name: "init", mode: cpioProg, data: program},
		cpioEntry{name: "sbin/poweroff", mode: cpioLink, data: []byte("/init")},
		cpioEntry{name: "sbin/reboot", mode: cpioLink, data: []byte("/init")})
	for _, module := range []string{"xen-blkfront.ko", "xen-netfront.ko"} {
		data, err := os.ReadFile(filepath.Join(base, module))
		if err != nil {
			return nil, err
		}
		entries = append(entries, cpioEntry{name: "mods/" + module, mode: cpioFile, data: data})
	}
	return cpio(entries), nil
}

const guestPackage = "github.com/xenhost/xenhost/internal/lab/guest"

// key returns the lab's ssh key, private part and public part, made once.
func (l *Lab) key(ctx context.Context) ([]byte, error) {
	name := l.keyFile()
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		made := name + ".unfinished"
		_ = os.Remove(made)
		if err := l.tool(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", made); err != nil {
			return nil, err
		}
		if err := os.Rename(made+".pub", name+".pub"); err != nil {
			return nil, err
		}
		if err := os.Rename(made, name); err != nil {
			return nil, err
		}
	}
	private, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	public, err := os.ReadFile(name + ".pub")
	return append(append(private, 0), public...), err
}

func (l *Lab) keyFile() string { return filepath.Join(l.dir, "id") }

func privatePart(key []byte) []byte { return key[:bytes.IndexByte(key, 0)] }
func publicPart(key []byte) []byte  { return key[bytes.IndexByte(key, 0)+1:] }
