package libvirt

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// What real hosts said: one with hardware virtualisation, one without, and
// libvirtd's test driver.
func TestParsePlatform(t *testing.T) {
	for file, want := range map[string]platform{
		"capabilities-pv.xml": {
			machines: map[xen.Type]machine{xen.PV: {domain: "xen", os: "xen", arch: "x86_64", machine: "xenpv"}},
			virtCaps: []string{"pv"}, taken: []string{"vnet", "macvtap", "macvlan", "vif"},
		},
		"capabilities-pvh.xml": {
			machines: map[xen.Type]machine{
				xen.PV:  {domain: "xen", os: "xen", arch: "x86_64", machine: "xenpv"},
				xen.PVH: {domain: "xen", os: "xenpvh", arch: "x86_64", machine: "xenpvh"},
				xen.HVM: {domain: "xen", os: "hvm", arch: "x86_64", machine: "xenfv"},
			},
			virtCaps: []string{"pv", "hvm", "hap"}, taken: []string{"vnet", "macvtap", "macvlan", "vif"},
		},
		"capabilities-test.xml": {
			machines: map[xen.Type]machine{xen.PV: {domain: "test", os: "xen", arch: "i686"}, xen.HVM: {domain: "test", os: "hvm", arch: "i686"}},
			virtCaps: []string{"hvm", "pv"}, taken: []string{"vnet", "macvtap", "macvlan"},
		},
	} {
		got, err := parsePlatform(capabilitiesXML(t, file))
		require.NoError(t, err)
		assert.Equal(t, want, got, file)
	}
	_, err := parsePlatform("<capabilities><host>")
	require.ErrorContains(t, err, "capabilities of the host")
}

func capabilitiesXML(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	require.NoError(t, err)
	return string(text)
}

func FuzzParsePlatform(f *testing.F) {
	const guest = `<guest><os_type>xen</os_type><arch name='x86_64'><machine>xenpv</machine><domain type='xen'/></arch><features><hap/></features></guest>`
	f.Add(`<capabilities><host><cpu><arch>x86_64</arch></cpu><netprefix>vif</netprefix></host>` + guest + `</capabilities>`)
	f.Add(`<capabilities>` + guest + guest + `</capabilities>`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePlatform(text)
		if err != nil {
			return
		}
		for _, typ := range p.types() {
			spec := fullSpec(typ)
			spec.Vifs[0].Name = "x0"
			if _, err := render(spec, p); err != nil {
				require.ErrorIs(t, err, xen.ErrInvalid) // a prefix as x
			}
		}
	})
}
