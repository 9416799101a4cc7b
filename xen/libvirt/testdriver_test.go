package libvirt_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/libvirt"
	"github.com/xenhost/xenhost/xen/xentest"
)

// testDriver starts libvirtd as nobody, in a folder of its own, and returns a
// driver on its test:///default: a hypervisor of libvirt's own tests, without
// Xen, which answers through the same daemon, protocol and error codes.
//
// It forgets all when its last client hangs up, so a second one stays.
func testDriver(t *testing.T) *libvirt.Driver {
	t.Helper()
	tier.Require(t, tier.Libvirt)
	path, err := exec.LookPath("libvirtd")
	if err != nil {
		tier.CanNot(t, tier.Libvirt, "it needs libvirtd: apt-get install --no-install-recommends libvirt-daemon")
	}
	dir, err := os.MkdirTemp("", "libvirtd-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.Command(path)
	cmd.Env = []string{"HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_CACHE_HOME=" + dir, "LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	if os.Getuid() == 0 {
		const nobody = 65534
		require.NoError(t, os.Chown(dir, nobody, nobody))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	o := libvirt.Options{Socket: startLibvirtd(t, dir, cmd), URI: "test:///default"}
	stays, driver := libvirt.New(&o), libvirt.New(&o)
	t.Cleanup(func() {
		assert.NoError(t, driver.Close())
		assert.NoError(t, stays.Close())
	})
	_, err = stays.List(t.Context())
	require.NoError(t, err)
	return driver
}

// pauses gives the test driver the paused start that it lacks; in the moment
// between, its guests do nothing.
type pauses struct{ *libvirt.Driver }

func (p pauses) Create(ctx context.Context, spec xen.Spec, opts *xen.CreateOptions) (xen.Domain, error) {
	d, err := p.Driver.Create(ctx, spec, nil)
	if err != nil || opts == nil || !opts.Paused {
		return d, err
	}
	return d, errors.Join(p.Pause(ctx, spec.UUID), err)
}

// TestTestDriver is the suite on a real libvirtd.
func TestTestDriver(t *testing.T) {
	driver := testDriver(t)
	const noRename = "no libvirt renames a domain that runs"
	xentest.TestDomains(t, xentest.Harness{
		New:   func(*testing.T) xen.Domains { return pauses{driver} },
		Types: []xen.Type{xen.PV},
		Spec: func(t *testing.T, typ xen.Type) xen.Spec {
			disk := filepath.Join(t.TempDir(), "disk")
			require.NoError(t, os.WriteFile(disk, nil, 0o600))
			return xen.Spec{
				UUID: uuid.New(), Type: typ, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz",
				Disks: []xen.Disk{{Dev: "xvda", Path: disk}},
				Vifs:  []xen.Vif{{Name: "suite.0", Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 1}}},
			}
		},
		Skip: map[string]string{
			"PV/memory is taken":                     "test:///default counts no memory",
			"PV/no memory":                           "test:///default counts no memory",
			"PV/busy disk":                           "test:///default opens no disks",
			"PV/busy disk read-only":                 "test:///default opens no disks",
			"PV/rename":                              noRename,
			"PV/shutdown of a guest that ignores it": "guests of test:///default always hear",
		},
	})
}
