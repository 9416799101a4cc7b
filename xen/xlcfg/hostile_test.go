package xlcfg_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/xentest"
	"github.com/xenhost/xenhost/xen/xlcfg"
)

// Every hostile string in every field: the spec is refused, or the text holds
// it as the value of that field and nothing more.
func TestHostileStrings(t *testing.T) {
	base := xen.Spec{
		Name: "web1", UUID: uuid.New(), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz", Ramdisk: "/boot/initrd", Cmdline: "ro",
		Disks:   []xen.Disk{{Dev: "xvda", Path: "/dev/guests/web1"}},
		Vifs:    []xen.Vif{{Name: "web1.0", Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 1}}},
		TSCMode: "native", OnReboot: "restart", OnCrash: "destroy",
		CPUID: []string{"0x1:ecx=" + strings.Repeat("x", 32)},
	}
	plain, err := xlcfg.Render(base)
	require.NoError(t, err)
	config, err := xlcfg.Parse("F", plain)
	require.NoError(t, err)
	keys := append(config.Keys(), "serial", "vnc", "boot") // an HVM domain has more

	texts := xentest.HostileStrings()
	require.GreaterOrEqual(t, len(texts), 300)
	refused, held := 0, 0
	for _, text := range texts {
		for field, spec := range xentest.HostileSpecs(base, text) {
			rendered, err := xlcfg.Render(spec)
			if err != nil {
				require.ErrorIs(t, err, xen.ErrInvalid, "%s %q", field, text)
				refused++
				continue
			}
			held++
			config, err := xlcfg.Parse("F", rendered)
			require.NoError(t, err, "%s %q", field, text)
			require.Len(t, config, len(config.Keys()), "%s %q", field, text)
			require.Subset(t, keys, config.Keys(), "%s %q", field, text)
			again, unknown, err := config.Spec()
			require.NoError(t, err, "%s %q", field, text)
			require.Empty(t, unknown, "%s %q", field, text)
			if spec.OnReboot == "" {
				spec.OnReboot = "restart"
			}
			if spec.OnCrash == "" {
				spec.OnCrash = "destroy"
			}
			require.Equal(t, spec, again, "%s %q", field, text)
		}
	}
	assert.Greater(t, refused, 2000)
	assert.Greater(t, held, 200)
	t.Logf("%d strings in 14 fields: %d refused, %d held", len(texts), refused, held)
}
