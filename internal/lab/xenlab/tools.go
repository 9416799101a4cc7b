package xenlab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// tools are the commands that the lab runs, with the Debian package of each.
func tools() [][2]string {
	return [][2]string{
		{"qemu-system-x86_64", "qemu-system-x86"},
		{"qemu-img", "qemu-utils"},
		{"mmdebstrap", "mmdebstrap"},
		{"mke2fs", "e2fsprogs"},
		{"debugfs", "e2fsprogs"},
		{"xz", "xz-utils"},
		{"ip", "iproute2"},
		{"ssh", "openssh-client"},
		{"ssh-keygen", "openssh-client"},
	}
}

// missing returns the packages of the commands that are not there.
func missing() (packages []string) {
	for _, t := range tools() {
		if _, err := exec.LookPath(t[0]); err != nil && !slices.Contains(packages, t[1]) {
			packages = append(packages, t[1])
		}
	}
	return packages
}

// Available says why no lab can run here, or nil: it takes root, Linux's tun
// device, and the tools, or apt-get to install them.
func Available() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("lab: needs root, for network namespaces and to build a file system of a host")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("lab: needs tun devices: %w", err)
	}
	packages := missing()
	if len(packages) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("lab: missing %s (as Debian names the packages)", strings.Join(packages, ", "))
	}
	return nil
}

// install has the tools there.
func (l *Lab) install(ctx context.Context) error {
	if err := Available(); err != nil {
		return err
	}
	packages := missing()
	if len(packages) == 0 {
		return nil
	}
	l.log.Info("installing", "packages", packages)
	for _, argv := range [][]string{
		{"apt-get", "update", "-q"},
		append([]string{"apt-get", "install", "-qy", "--no-install-recommends"}, packages...),
	} {
		if err := l.tool(ctx, argv...); err != nil {
			return err
		}
	}
	if left := missing(); len(left) != 0 {
		return fmt.Errorf("lab: still missing after apt-get: %s", strings.Join(left, ", "))
	}
	return nil
}

// tool runs a command of this machine to its end; what it says is in the error.
func (l *Lab) tool(ctx context.Context, argv ...string) error {
	_, err := l.toolOutput(ctx, argv...)
	return err
}

func (l *Lab) toolOutput(ctx context.Context, argv ...string) ([]byte, error) {
	l.log.Debug("run", "argv", argv)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var said tail
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w\n%s%s", argv[0], err, lastLines(out, 5), said.String())
	}
	return out, nil
}
