package xenlab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// imageFiles returns what the lab adds to the base. The guests run the kernel
// of dom0, which buildRoot adds.
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
	for _, kernel := range []string{"vmlinux", "vmlinuz"} {
		data, err := os.ReadFile(filepath.Join(base, kernel))
		if err != nil {
			return err
		}
		files = append(files, imageFile{"/lab/" + kernel, 0o644, data})
	}
	var script bytes.Buffer
	for i, f := range files {
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
