package libvirt

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/xentest"
)

func anyHost() platform {
	return platform{
		machines: map[xen.Type]machine{
			xen.PV:  {domain: "xen", os: "xen", arch: "x86_64", machine: "xenpv"},
			xen.PVH: {domain: "xen", os: "xenpvh", arch: "x86_64", machine: "xenpvh"},
		},
		taken: []string{"vnet", "vif"},
	}
}

func fullSpec(typ xen.Type) xen.Spec {
	return xen.Spec{
		Name: "web1", UUID: uuid.MustParse("b263ad99-692d-4062-89d6-71de96ca83df"), Type: typ, Memory: 128 << 20, MaxMemory: 256 << 20, VCPUs: 1, MaxVCPUs: 4,
		Kernel: "/boot/vmlinuz", Ramdisk: "/boot/initrd.img", Cmdline: `root=/dev/xvda ro x="<a> & 'b'" ]]>`,
		Disks: []xen.Disk{{Dev: "xvda", Path: "/dev/guests/web1"}, {Dev: "xvdb", Path: "/dev/guests/iso", ReadOnly: true}},
		Vifs:  []xen.Vif{{Name: "xb263ad99.0", Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 1}}},

		TSCMode: "native", OnReboot: "restart", OnCrash: "preserve",
	}
}

func TestRender(t *testing.T) {
	host := anyHost()
	host.machines[xen.HVM] = machine{domain: "xen", os: "hvm", arch: "x86_64", machine: "xenfv"}
	for _, typ := range []xen.Type{xen.PV, xen.PVH, xen.HVM} {
		spec := fullSpec(typ)
		if typ == xen.HVM {
			spec.VNC, spec.Boot, spec.Disks[1] = true, "dc", xen.Disk{Dev: "hdc", Path: "/srv/a.iso", ReadOnly: true, CDROM: true}
		}
		text, err := render(spec, host)
		require.NoError(t, err)
		assert.Empty(t, cmp.Diff(spec.WithDefaults(), held(t, text)))
		file := "testdata/" + string(typ) + ".xml"
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Empty(t, cmp.Diff(string(want), text+"\n"))
	}
}

func TestRenderRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*xen.Spec)
		means  error
		field  string
	}{
		"HVM":                {func(s *xen.Spec) { s.Type = xen.HVM }, errors.ErrUnsupported, ""}, // not on this host
		"CPUID":              {func(s *xen.Spec) { s.CPUID = []string{"0x7,0:ebx=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0"} }, errors.ErrUnsupported, ""},
		"not in XML":         {func(s *xen.Spec) { s.Cmdline = "a\uffffb" }, xen.ErrInvalid, "cmdline"},
		"not in XML either":  {func(s *xen.Spec) { s.Disks[1].Path = "/dev/a\ufffeb" }, xen.ErrInvalid, "disks[1].path"},
		"libvirt's names":    {func(s *xen.Spec) { s.Vifs[0].Name = "vif7.0" }, xen.ErrInvalid, "vifs[0].name"},
		"what Validate does": {func(s *xen.Spec) { s.Name = "web1</name>" }, xen.ErrInvalid, "name"},
	} {
		spec := fullSpec(xen.PVH)
		tc.change(&spec)
		_, err := render(spec, anyHost())
		require.ErrorIs(t, err, tc.means, name)
		var field *xen.FieldError
		if tc.field != "" {
			require.ErrorAs(t, err, &field, name)
			assert.Equal(t, tc.field, field.Field)
		}
	}
	_, err := render(fullSpec(xen.PVH), platform{})
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// held is what the XML that render wrote says.
func held(t *testing.T, text string) xen.Spec {
	t.Helper()
	spec, err := specOf(text)
	require.NoError(t, err)
	return spec
}

// Every hostile string in every field: the spec is refused, or the XML holds
// the string as the value of that field and nothing more.
func TestHostileStrings(t *testing.T) {
	base := fullSpec(xen.PVH)
	base.CPUID = []string{""}
	refused, whole := 0, 0
	texts := append(xentest.HostileStrings(), "</cmdline><kernel>/x</kernel>", "<!--", "]]>", "&lt;", "&#10;", "<![CDATA[x]]>", "<?x?>", "\ufffd", " a  b ")
	for _, text := range texts {
		for field, spec := range xentest.HostileSpecs(base, text) {
			if field != "cpuid" {
				spec.CPUID = nil // any line is refused
			}
			rendered, err := render(spec, anyHost())
			if err != nil {
				require.True(t, errors.Is(err, xen.ErrInvalid) || errors.Is(err, errors.ErrUnsupported), "%s %q: %v", field, text, err)
				refused++
				continue
			}
			whole++
			require.Empty(t, cmp.Diff(spec.WithDefaults(), held(t, rendered)), "%s %q", field, text)
		}
	}
	assert.GreaterOrEqual(t, len(texts), 300)
	assert.Greater(t, refused, 2000)
	assert.Greater(t, whole, 200)
	t.Logf("%d strings: %d specs refused, %d held", len(texts), refused, whole)
}

// FuzzRender: what Validate lets pass comes out of an XML parser as it went in.
func FuzzRender(f *testing.F) {
	f.Add("ro quiet", "/boot/vmlinuz", "/dev/guests/web1", "web1.0", "xenint", int64(128), 1)
	f.Add(`x="<&>]]>'`, "/a b", "/dev/\u2028", "a", "b", int64(32), 128)
	f.Fuzz(func(t *testing.T, cmdline, kernel, path, vif, bridge string, mib int64, vcpus int) {
		spec := fullSpec(xen.PV)
		spec.Cmdline, spec.Kernel, spec.Disks[0].Path, spec.Vifs[0].Name, spec.Vifs[0].Bridge = cmdline, kernel, path, vif, bridge
		spec.Memory, spec.MaxMemory, spec.VCPUs, spec.MaxVCPUs = mib<<20, 0, vcpus, 0
		text, err := render(spec, anyHost())
		if err != nil {
			require.True(t, errors.Is(err, xen.ErrInvalid), "%v", err)
			return
		}
		require.Empty(t, cmp.Diff(spec.WithDefaults(), held(t, text)))
	})
}

func TestBootOrder(t *testing.T) {
	for _, boot := range []string{"", "c", "d", "cd", "dcn", "n"} {
		assert.Equal(t, boot, bootOrder(bootDevices(boot)))
	}
	assert.Len(t, bootDevices(""), 3, "libvirt's own order is the disk alone")
}

// FuzzSpecOf: XML of a domain, whoever made it, is read or refused.
func FuzzSpecOf(f *testing.F) {
	for _, file := range []string{"live.xml", "pv.xml", "pvh.xml", "hvm.xml"} {
		text, err := os.ReadFile("testdata/" + file)
		require.NoError(f, err)
		f.Add(string(text))
	}
	f.Add("<domain><uuid>b263ad99-692d-4062-89d6-71de96ca83df</uuid><os><type>linux</type></os><memory unit='TiB'>9</memory><vcpu/></domain>")
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := specOf(text)
		if err != nil {
			return
		}
		assert.GreaterOrEqual(t, spec.MaxMemory, spec.Memory)
		assert.GreaterOrEqual(t, spec.MaxVCPUs, spec.VCPUs)
	})
}
