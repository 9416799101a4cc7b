package xlcfg

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

func mac(t testing.TB, s string) xen.MAC {
	t.Helper()
	m, err := xen.ParseMAC(s)
	require.NoError(t, err)
	return m
}

func full(t testing.TB) xen.Spec {
	return xen.Spec{
		Name: "web1", UUID: uuid.MustParse("875214f6-96ce-438f-be48-5747c6298420"), Type: xen.PVH,
		Memory: 128 << 20, VCPUs: 2, Kernel: "/lab/vmlinuz", Ramdisk: "/lab/guest.img", Cmdline: `console=hvc0 x="y"`,
		Disks:   []xen.Disk{{Dev: "xvda", Path: "/dev/guests/web1"}, {Dev: "xvdb", Path: "/dev/guests/iso", ReadOnly: true}},
		Vifs:    []xen.Vif{{Name: "web1.0", Bridge: "xenint", MAC: mac(t, "00:16:3e:00:00:65"), Rate: 1_500_000_000}},
		TSCMode: "native", OnReboot: "restart", OnCrash: "preserve",
		MaxMemory: 256 << 20, MaxVCPUs: 4, Weight: 512, Cap: 150,
		CPUID: []string{"0x1:ecx=" + strings.Repeat("x", 32), "0x7,0:ebx=0" + strings.Repeat("x", 31) + ",edx=" + strings.Repeat("1", 32)},
	}
}

func fullHVM(t testing.TB) xen.Spec {
	s := full(t)
	s.Type, s.Kernel, s.Ramdisk, s.Cmdline, s.Boot, s.VNC = xen.HVM, "", "", "", "dc", true
	s.Disks = append(s.Disks, xen.Disk{Dev: "hdd", Path: "/srv/iso/debian-12.iso", ReadOnly: true, CDROM: true})
	return s
}

func TestSpecOfRendered(t *testing.T) {
	dark := fullHVM(t)
	dark.VNC = false
	for _, want := range []xen.Spec{full(t), fullHVM(t), dark} {
		text, err := Render(want)
		require.NoError(t, err)
		config, err := Parse("F", text)
		require.NoError(t, err)
		got, unknown, err := config.Spec()
		require.NoError(t, err)
		assert.Empty(t, unknown)
		assert.Equal(t, want, got)
		for _, key := range config.Keys() {
			assert.True(t, refused(key) == "" || key == "serial", key)
		}
	}
}

func TestSpecOfHandWritten(t *testing.T) {
	for _, name := range []string{"web1", "pvh1"} {
		text, err := os.ReadFile("testdata/" + name + ".cfg")
		require.NoError(t, err)
		config, err := Parse(name+".cfg", string(text))
		require.NoError(t, err)
		spec, unknown, err := config.Spec()
		require.NoError(t, err)
		assert.Empty(t, unknown)
		assert.Equal(t, name, spec.Name)
		assert.Equal(t, "console=hvc0 g.ip=192.168.0.101/24", spec.Cmdline)
		assert.EqualValues(t, 128<<20, spec.Memory)
		assert.Equal(t, []xen.Disk{{Dev: "xvda", Path: "/dev/guests/" + name + "-disk"}}, spec.Disks)
		assert.Equal(t, name+".0", spec.Vifs[0].Name)
		spec.UUID = uuid.New()
		require.NoError(t, spec.Validate())
	}
}

func TestSpecNamesWhatItCanNotHold(t *testing.T) {
	config, err := Parse("F", "name = 'x'\nmaxmem = 256\nmemory = 0x80\nviridian = 1\nvcpus = 2\nlocaltime = 1\ncpuid = 'host,avx=0'\nvnclisten = '0.0.0.0'\n")
	require.NoError(t, err)
	spec, unknown, err := config.Spec()
	require.NoError(t, err)
	assert.Equal(t, []string{"viridian", "localtime", "cpuid", "vnclisten"}, unknown)
	assert.EqualValues(t, 128<<20, spec.Memory)
	assert.EqualValues(t, 256<<20, spec.MaxMemory)
}

func TestVifRate(t *testing.T) {
	for text, want := range map[string]int64{
		"8000b/s": 8000, "10Kb/s": 10_000, "10Mb/s": 10_000_000, "1Gb/s": 1_000_000_000,
		"1000B/s": 8000, "10KB/s": 80_000, "10MB/s": 80_000_000, "4GB/s": xen.MaxVifRate,
	} {
		config, err := Parse("F", `vif = ["rate=`+text+`"]`)
		require.NoError(t, err)
		spec, _, err := config.Spec()
		require.NoError(t, err, text)
		assert.Equal(t, want, spec.Vifs[0].Rate, text)
	}
}

func TestSpecRefuses(t *testing.T) {
	for _, line := range []string{
		`bootloader = "/tmp/x"`, `bootloader_args = ["x"]`, `device_model_override = "/tmp/x"`, `device_model_args_hvm = ["-x"]`,
		`stubdomain_cmdline = "x"`, `firmware_override = "/etc/shadow"`, `pvshim_path = "/tmp/x"`, `pci = ["01:00.0"]`,
		`p9 = ["path=/"]`, `serial = "file:/etc/passwd"`, `channel = ["connection=socket,path=/x"]`, `usbdev = ["x"]`,
		`disk = ["script=/tmp/x,vdev=xvda,target=/dev/x"]`, `disk = ["backend=web2,vdev=xvda,target=/dev/x"]`,
		`disk = ["/dev/x,qcow2,xvda,rw"]`, `disk = ["iscsi:x,raw,xvda,rw"]`, `disk = ["/dev/x,raw,xvda,rw,more"]`,
		`disk = ["format=raw,vdev=xvda,target=/dev/x\nscript=/tmp/x"]`, `disk = [["x"]]`, `disk = "x"`,
		`disk = ["/dev/a,raw,xvda,rw,target=/dev/b"]`,
		`vif = ["script=/tmp/x"]`, `vif = ["mac=00:16:zz:00:00:65"]`, `vif = ["bridge=a,backend=web2"]`, `vif = ["rate=10Mb/s@20ms"]`,
		`vif = ["rate=10"]`, `vif = ["rate="]`, `vif = ["rate=Mb/s"]`, `vif = ["rate=10MB"]`, `vif = ["rate=33Gb/s"]`, `vif = ["rate=-1b/s"]`,
		`vif = ["rate=10mb/s"]`,
		`memory = "64x"`, `memory = "0b11"`, `memory = "1_0"`, `vcpus = [1]`, `uuid = "x"`, `memory = "-1"`,
	} {
		config, err := Parse("F", line)
		require.NoError(t, err, line)
		_, _, err = config.Spec()
		require.ErrorIs(t, err, xen.ErrInvalid, line)
	}
}

func TestEveryDangerIsRefused(t *testing.T) {
	all := dangers()
	assert.Len(t, all, 30)
	for _, d := range all {
		for _, text := range []string{"%s = 'pty '", "%s_x = 1", "%s = ['x']", "%s += 'x'"} {
			config, err := Parse("F", fmt.Sprintf(text, d.prefix))
			require.NoError(t, err)
			_, _, err = config.Spec()
			require.ErrorIs(t, err, xen.ErrInvalid, d.prefix)
			require.ErrorContains(t, err, d.why)
		}
	}
}

func TestDiskForms(t *testing.T) {
	rw := xen.Disk{Dev: "xvda", Path: "/dev/vg/lv"}
	ro := xen.Disk{Dev: "xvda", Path: "/dev/vg/lv", ReadOnly: true}
	cd := xen.Disk{Dev: "hdc", Path: "/x.iso", ReadOnly: true, CDROM: true}
	for s, want := range map[string]xen.Disk{
		"/x.iso,raw,hdc,devtype=cdrom": cd, "/x.iso,,hdc:cdrom,r": cd, "devtype=cdrom,vdev=hdc,target=/x.iso": cd, "/dev/vg/lv,raw,xvda,devtype=disk": rw,
		"/dev/vg/lv,raw,xvda,rw": rw, "/dev/vg/lv,,xvda": rw, "/dev/vg/lv,raw,xvda,ro": ro, "phy:/dev/vg/lv,xvda,w": rw, "phy:/dev/vg/lv,xvda,r": ro,
		"vdev=xvda,access=ro,target=/dev/vg/lv,":                         ro,
		"format=raw,/dev/vg/lv,xvda":                                     rw,
		"format=raw,vdev=xvda,access=rw,backendtype=phy,target=/dev/a,b": {Dev: "xvda", Path: "/dev/a,b"},
	} {
		got, err := parseDisk(s)
		require.NoError(t, err, s)
		assert.Equal(t, want, got, s)
	}
}

func TestRenderRefusesPathsOutsideDev(t *testing.T) {
	for _, path := range []string{
		"/etc/shadow", "/dev", "/dev/../etc/shadow", "/dev/a,b", "/dev/a b", "/dev/a\nscript=/tmp/x", `/dev/a"`, "/dev/a=b", "dev/a", "", "/dev/é",
		"/dev/a;b", "/dev/./a",
	} {
		spec := full(t)
		spec.Disks[0].Path = path
		_, err := Render(spec)
		require.ErrorIs(t, err, xen.ErrInvalid, path)
	}
}

func TestRenderRefusesImages(t *testing.T) {
	for _, path := range []string{"/etc/shadow", "/srv/../etc/x.iso", "/srv/a,b.iso", "/srv/a\nscript=/x.iso", "x.iso", "", "/srv/a b.iso"} {
		spec := fullHVM(t)
		spec.Disks[2].Path = path
		_, err := Render(spec)
		require.ErrorIs(t, err, xen.ErrInvalid, path)
		require.ErrorIs(t, Image(path), xen.ErrInvalid, path)
	}
	require.ErrorIs(t, Image("/dev/guests/iso"), xen.ErrInvalid)
	require.NoError(t, Image("/srv/debian-12.iso"))
}

func TestDevicesForAttach(t *testing.T) {
	spec := full(t)
	disk, err := Disk(spec.Disks[1])
	require.NoError(t, err)
	assert.Equal(t, "format=raw,vdev=xvdb,access=ro,backendtype=phy,target=/dev/guests/iso", disk)
	vif, err := Vif(spec.Vifs[0])
	require.NoError(t, err)
	assert.Equal(t, []string{"mac=00:16:3e:00:00:65", "bridge=xenint", "vifname=web1.0", "rate=187500000B/s"}, vif)
	_, err = Disk(xen.Disk{Dev: "xvda", Path: "/etc/shadow"})
	require.ErrorIs(t, err, xen.ErrInvalid)
	_, err = Disk(xen.Disk{Dev: "xvda,script=x", Path: "/dev/x"})
	require.ErrorIs(t, err, xen.ErrInvalid)
	_, err = Vif(xen.Vif{Name: "a,script=x", Bridge: "b", MAC: spec.Vifs[0].MAC})
	require.ErrorIs(t, err, xen.ErrInvalid)
}

// FuzzDevices: what a device is read from is what it is written as, and the
// rest is refused.
func FuzzDevices(f *testing.F) {
	for _, s := range []string{"/dev/vg/lv,raw,xvda,rw", "format=raw,vdev=hdc,access=ro,devtype=cdrom,target=/x.iso", "mac=00:16:3e:00:00:65,bridge=xenint,vifname=a", "target="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := parseDisk(s); err == nil {
			if text, err := Disk(d); err == nil {
				again, err := parseDisk(text)
				require.NoError(t, err)
				require.Equal(t, d, again)
			}
		}
		if v, err := parseVif(s); err == nil {
			if items, err := Vif(v); err == nil {
				again, err := parseVif(strings.Join(items, ","))
				require.NoError(t, err)
				require.Equal(t, v, again)
			}
		}
	})
}

// FuzzRender puts hostile strings into every field: either the spec is
// refused, or the text has the known keys once and reads back as the spec.
func FuzzRender(f *testing.F) {
	for _, s := range []string{"web1", "a\"\nscript='/x'", "/dev/x\nscript=/tmp/x", "x,script=/tmp/x", `\`, `\"; bootloader="/x`, "é\x00"} {
		for field := range 14 {
			f.Add(field, s)
		}
	}
	base := full(f)
	text, err := Render(base)
	require.NoError(f, err)
	known, err := Parse("F", text)
	require.NoError(f, err)
	keys := append(known.Keys(), "serial", "vnc", "boot") // an HVM domain has more
	f.Fuzz(func(t *testing.T, field int, s string) {
		spec := base.Clone()
		put(&spec, field, s)
		text, err := Render(spec)
		if err != nil {
			require.ErrorIs(t, err, xen.ErrInvalid)
			return
		}
		config, err := Parse("F", text)
		require.NoError(t, err, text)
		require.Len(t, config, len(config.Keys()), text)
		for _, key := range config.Keys() {
			require.Contains(t, keys, key, text)
		}
		again, unknown, err := config.Spec()
		require.NoError(t, err, text)
		require.Empty(t, unknown, text)
		if spec.OnReboot == "" {
			spec.OnReboot = "restart"
		}
		if spec.OnCrash == "" {
			spec.OnCrash = "destroy"
		}
		require.Equal(t, spec, again)
	})
}

func put(spec *xen.Spec, field int, s string) {
	fields := []*string{
		&spec.Name, (*string)(&spec.Type), &spec.Kernel, &spec.Ramdisk, &spec.Cmdline, &spec.TSCMode, &spec.OnReboot, &spec.OnCrash,
		&spec.Disks[0].Dev, &spec.Disks[0].Path, &spec.Vifs[0].Name, &spec.Vifs[0].Bridge, &spec.Boot, &spec.CPUID[0],
	}
	at := fields[uint(field)%uint(len(fields))]
	*at = s
	if at == &spec.Boot {
		spec.Type = xen.HVM
	}
}
