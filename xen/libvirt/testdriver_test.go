package libvirt_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	rpc "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirtxml"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/libvirt"
	"github.com/xenhost/xenhost/xen/xentest"
)

// testURI is a hypervisor of libvirt's own tests, without Xen, which answers
// through the same daemon, protocol and error codes.
const testURI = "test:///default"

// testLibvirtd starts libvirtd as nobody, in a folder of its own.
func testLibvirtd(t *testing.T) *libvirtd {
	t.Helper()
	tier.Require(t, tier.Libvirt)
	path, err := exec.LookPath("libvirtd")
	if err != nil {
		tier.CanNot(t, tier.Libvirt, "it needs libvirtd: apt-get install --no-install-recommends libvirt-daemon")
	}
	dir, err := os.MkdirTemp("", "libvirtd-") //nolint:usetesting // nobody can not enter t.TempDir
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.Command(path)
	cmd.Env = []string{"HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_CACHE_HOME=" + dir, "LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	if os.Getuid() == 0 {
		const nobody = 65534
		require.NoError(t, os.Chown(dir, nobody, nobody))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return startLibvirtd(t, dir, cmd)
}

// testDriver returns a driver on testURI. That forgets all when its last client
// hangs up, so a second one stays.
func testDriver(t *testing.T, daemon *libvirtd) *libvirt.Driver {
	t.Helper()
	o := libvirt.Options{Socket: daemon.socket, URI: testURI}
	stays, driver := libvirt.New(&o), libvirt.New(&o)
	t.Cleanup(func() {
		assert.NoError(t, driver.Close())
		assert.NoError(t, stays.Close())
	})
	_, err := stays.List(t.Context())
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

func testGuest(t *testing.T, typ xen.Type) xen.Spec {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(disk, nil, 0o600))
	return xen.Spec{
		Name: "suite", UUID: uuid.New(), Type: typ, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz",
		Disks: []xen.Disk{{Dev: "xvda", Path: disk}},
		Vifs:  []xen.Vif{{Name: "suite.0", Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 1}}},
	}
}

// TestTestDriver is the suite on a real libvirtd.
func TestTestDriver(t *testing.T) {
	driver := testDriver(t, testLibvirtd(t))
	xentest.TestDomains(t, xentest.Harness{
		New:   func(*testing.T) xen.Domains { return pauses{driver} },
		Types: []xen.Type{xen.PV},
		Spec:  testGuest,
		Skip: map[string]string{
			"PV/memory is taken":                     "test:///default counts no memory",
			"PV/no memory":                           "test:///default counts no memory",
			"PV/busy disk":                           "test:///default opens no disks",
			"PV/busy disk read-only":                 "test:///default opens no disks",
			"PV/rename":                              "test:///default renames only what does not run",
			"PV/shutdown of a guest that ignores it": "guests of test:///default always hear",
		},
	})
}

// What the test driver lacks is told beforehand, and refused with the word for it.
func TestTestDriverLacks(t *testing.T) {
	driver := testDriver(t, testLibvirtd(t))
	f, err := driver.Features(t.Context())
	require.NoError(t, err)
	assert.Equal(t, xen.Features{Types: []xen.Type{xen.HVM, xen.PV}, Missing: []string{
		"create paused", "set share", "attach disk", "attach vif", "detach disk", "detach vif", "insert", "eject", "save",
		"restore", "console", "screen", "update config", "save and leave paused",
	}}, f)
	for name, tc := range map[string]struct {
		change func(*xen.Spec)
		paused bool
	}{
		"paused": {func(*xen.Spec) {}, true},
		"PVH":    {func(s *xen.Spec) { s.Type = xen.PVH }, false},
		"cap":    {func(s *xen.Spec) { s.Cap = 50 }, false},
	} {
		spec := testGuest(t, xen.PV)
		tc.change(&spec)
		_, err := driver.Create(t.Context(), spec, &xen.CreateOptions{Paused: tc.paused})
		require.ErrorIs(t, err, errors.ErrUnsupported, name)
		assert.NotErrorIs(t, err, xen.ErrDirty, name)
		_, err = driver.Lookup(t.Context(), spec.UUID)
		require.ErrorIs(t, err, fs.ErrNotExist, name)
	}
	spec := testGuest(t, xen.PV)
	_, err = driver.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	id, image := spec.UUID, filepath.Join(t.TempDir(), "x.iso")
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	drive := testGuest(t, xen.HVM)
	drive.Name, drive.UUID, drive.Vifs = "suite-drive", uuid.New(), nil
	drive.Disks = append(drive.Disks, xen.Disk{Dev: "hdc", Path: image, ReadOnly: true, CDROM: true})
	_, err = driver.Create(t.Context(), drive, nil)
	require.NoError(t, err)
	more := testGuest(t, xen.PV).Disks[0]
	more.Dev = "xvdb"
	next := spec.Clone()
	next.OnReboot = "destroy"
	for verb, err := range map[string]error{
		"rename":                driver.Rename(t.Context(), id, "other"),
		"attach disk":           driver.AttachDisk(t.Context(), id, more),
		"detach disk":           driver.DetachDisk(t.Context(), id, "xvda"),
		"detach vif":            driver.DetachVif(t.Context(), id, spec.Vifs[0].MAC),
		"insert":                driver.Insert(t.Context(), drive.UUID, "hdc", image),
		"eject":                 driver.Eject(t.Context(), drive.UUID, "hdc"),
		"save":                  driver.Save(t.Context(), id, io.Discard, nil),
		"save and leave paused": driver.Save(t.Context(), id, io.Discard, &xen.SaveOptions{Then: xen.Paused}),
		"update config":         driver.UpdateConfig(t.Context(), next),
	} {
		require.ErrorIs(t, err, errors.ErrUnsupported, verb)
		assert.NotErrorIs(t, err, xen.ErrDirty, verb)
	}
	other := testGuest(t, xen.PV)
	other.Name = "other"
	_, err = driver.Restore(t.Context(), other, strings.NewReader(""), nil)
	refused(t, err, "restore", errors.ErrUnsupported)
	_, err = driver.Console(t.Context(), id)
	refused(t, err, "console", errors.ErrUnsupported)
	_, err = driver.Screen(t.Context(), id)
	refused(t, err, "screen", errors.ErrUnsupported)
}

// TestTestDriverRoles is the suite of the other roles on a real libvirtd.
func TestTestDriverRoles(t *testing.T) {
	driver := testDriver(t, testLibvirtd(t))
	const hotplug, noXen = "the test driver of libvirt 9.0 has no hot-plug", "test:///default has no Xen"
	const memory, fewer = "test:///default has 3 MiB free; see TestTestDriverSizes", "test:///default shows only the vCPUs in use; see TestTestDriverSizes"
	skip := map[string]string{
		"PV/sizes/memory": memory,
		"PV/sizes/vcpus":  fewer,
		"PV/sizes/pins":   fewer,
		"PV/sizes/share":  "test:///default has another scheduler",
		"PV/sizes/reboot": "guests of test:///default keep their domid across a reboot",
		"PV/sizes/reboot into another configuration": "guests of test:///default keep their domid across a reboot",
		"HVM/machine/screen":                         "the screens of test:///default have no port",
		"HVM/console/console":                        noXen,
		"PV/console/console":                         noXen,
		"absent/not this type":                       "test:///default can not start a guest paused",
	}
	for _, name := range []string{
		"missing disk", "busy disk", "busy disk read-only", "attach a disk", "attached already", "it is busy for others", "detach a disk",
		"no bridge", "taken address", "taken name", "attach a vif", "detach a vif",
	} {
		skip["PV/devices/"+name] = hotplug
	}
	for _, name := range []string{"eject", "insert", "swap"} {
		skip["HVM/machine/"+name] = hotplug
	}
	for _, name := range []string{
		"writer that fails", "cancelled", "save and go on", "save", "save again", "restore of half", "restore of no save file", "restore of nothing",
		"reader that fails", "restore", "restore again",
	} {
		skip["PV/saved/"+name] = noXen
	}
	xentest.TestRoles(t, xentest.Harness{
		New:   func(*testing.T) xen.Domains { return pauses{driver} },
		Types: []xen.Type{xen.PV, xen.HVM},
		Spec:  testGuest,
		Disk:  func(t *testing.T) string { return testGuest(t, xen.PV).Disks[0].Path },
		Image: func(t *testing.T) string {
			image := filepath.Join(t.TempDir(), "image.iso")
			require.NoError(t, os.WriteFile(image, nil, 0o600))
			return image
		},
		Skip: skip,
	})
}

// A libvirtd that is stopped answers nothing, though its socket still accepts.
// When it goes on, so does the driver; when it is killed and started again, the
// driver finds the new one.
func TestStoppedLibvirtd(t *testing.T) {
	daemon := testLibvirtd(t)
	driver := testDriver(t, daemon)
	require.NoError(t, daemon.cmd.Process.Signal(syscall.SIGSTOP))
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := driver.List(ctx)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	require.NoError(t, daemon.cmd.Process.Signal(syscall.SIGCONT))
	before, err := driver.List(t.Context())
	require.NoError(t, err)
	require.Len(t, before, 1, "the domain that the test driver always has")

	require.NoError(t, daemon.cmd.Process.Kill())
	daemon.wait()
	_, err = driver.List(t.Context())
	require.Error(t, err)
	daemon.start(t)
	after, err := driver.List(t.Context())
	require.NoError(t, err)
	assert.Equal(t, before[0].UUID, after[0].UUID)
}

// TestLibvirtReadsWhatIsWritten gives every hostile string that is not refused
// to libvirt's own XML parser, and reads it back.
func TestLibvirtReadsWhatIsWritten(t *testing.T) {
	daemon := testLibvirtd(t)
	conn, err := net.Dial("unix", daemon.socket)
	require.NoError(t, err)
	l := rpc.NewWithDialer(dials{conn})
	require.NoError(t, l.ConnectToURI(testURI))
	defer func() { assert.NoError(t, l.Disconnect()) }()
	capabilities, err := l.ConnectGetCapabilities()
	require.NoError(t, err)

	base := testGuest(t, xen.PV)
	base.Ramdisk, base.Cmdline, base.TSCMode, base.OnReboot, base.OnCrash, base.CPUID = "/boot/initrd", "ro", "native", "restart", "preserve", []string{""}
	read := 0
	for _, text := range append(xentest.HostileStrings(), "</cmdline><kernel>/x</kernel>", "]]>", "&#10;", "<!--", " a  b ") {
		for field, spec := range xentest.HostileSpecs(base, text) {
			if field != "cpuid" {
				spec.CPUID = nil
			}
			written, err := libvirt.RenderFor(spec, capabilities)
			if err != nil {
				continue
			}
			dom, err := l.DomainDefineXMLFlags(written, 0)
			require.NoError(t, err, "%s %q", field, text)
			back, err := l.DomainGetXMLDesc(dom, rpc.DomainXMLInactive)
			require.NoError(t, err)
			require.NoError(t, l.DomainUndefineFlags(dom, 0))
			var seen libvirtxml.Domain
			require.NoError(t, seen.Unmarshal(back))
			want := spec.WithDefaults()
			require.Equal(t, []string{want.Name, want.UUID.String(), want.Kernel, want.Ramdisk, want.Cmdline, want.OnReboot, want.OnCrash},
				[]string{seen.Name, seen.UUID, seen.OS.Kernel, seen.OS.Initrd, seen.OS.Cmdline, seen.OnReboot, seen.OnCrash}, "%s %q", field, text)
			require.Len(t, seen.Devices.Disks, 1)
			require.Len(t, seen.Devices.Interfaces, 1)
			disk, vif := seen.Devices.Disks[0], seen.Devices.Interfaces[0]
			require.Equal(t, []string{want.Disks[0].Dev, want.Disks[0].Path, want.Vifs[0].Bridge, want.Vifs[0].Name},
				[]string{disk.Target.Dev, disk.Source.Block.Dev, vif.Source.Bridge.Bridge, vif.Target.Dev}, "%s %q", field, text)
			read++
		}
	}
	assert.Greater(t, read, 200)
	t.Logf("libvirt read %d specs as they were written", read)
}

type dials struct{ conn net.Conn }

func (d dials) Dial() (net.Conn, error) { return d.conn, nil }
