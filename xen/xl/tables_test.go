package xl

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

func TestRecordedTables(t *testing.T) {
	devs, err := parseBlocks(read(t, "tables/block-list.out"))
	require.NoError(t, err)
	assert.Equal(t, []string{"xvda", "xvdb", "xvdc"}, devs)
	devs, err = parseBlocks(read(t, "tables/block-list-no-id.out"))
	require.NoError(t, err)
	assert.Empty(t, devs)

	macs, err := parseNICs(read(t, "tables/network-list-two.out"))
	require.NoError(t, err)
	assert.Equal(t, []xen.MAC{{0, 0x16, 0x3e, 0, 0, 0x65}, {0, 0x16, 0x3e, 0, 1, 0x65}}, macs)
	macs, err = parseNICs(read(t, "tables/network-list-no-id.out"))
	require.NoError(t, err)
	assert.Empty(t, macs)

	vcpus, err := parseVCPUs(read(t, "tables/vcpu-list-offline.out"))
	require.NoError(t, err)
	require.Len(t, vcpus, 4)
	assert.Equal(t, xen.VCPU{Online: true, CPUTime: 9100 * time.Millisecond}, vcpus[0])
	assert.Equal(t, xen.VCPU{Number: 3, CPUTime: 1700 * time.Millisecond}, vcpus[3])
	vcpus, err = parseVCPUs(strings.Replace(read(t, "tables/vcpu-list-pv.out"), "all / all", "0,2-3 / 0", 1))
	require.NoError(t, err)
	assert.Equal(t, xen.CPUSet{0, 2, 3}, vcpus[0].Hard)
	assert.Equal(t, xen.CPUSet{0}, vcpus[0].Soft)

	share, err := parseShare(read(t, "tables/sched-credit2-get.out"))
	require.NoError(t, err)
	assert.Equal(t, xen.Share{Weight: 512, Cap: 50}, share)
}

func TestTablesThatAreNone(t *testing.T) {
	for _, text := range []string{"", "nope\n", "Vdev\nx\n", "Vdev BE\nx 0\n", "Idx BE\n0 0\n", "Idx BE\n0 0 zz\n", "Name ID\nweb1\n", "Name ID\nweb1 1 1 0 r-- 1.0 all / all\n"} {
		_, errA := parseBlocks(text)
		_, errB := parseNICs(text)
		_, errC := parseVCPUs(text)
		_, errD := parseShare(text)
		assert.Error(t, errA, text)
		assert.Error(t, errB, text)
		assert.Error(t, errC, text)
		assert.Error(t, errD, text)
	}
}

func TestVdevs(t *testing.T) {
	for n, want := range map[int]string{51712: "xvda", 51728: "xvdb", 51952: "xvdp", 51713: "51713", 768: "hda", 832: "hdb", 5632: "hdc", 5696: "hdd", 1 << 28: "268435456"} {
		assert.Equal(t, want, vdev(n))
	}
}

func TestRecordedConfigs(t *testing.T) {
	for name, want := range map[string]xen.Spec{
		"pv": {
			Name: "web1", UUID: uuid.MustParse("94e7755d-4816-4f40-b6cd-928ff0d41862"), Type: xen.PV, Memory: 128 << 20, VCPUs: 1,
			Kernel: "/lab/vmlinuz", Ramdisk: "/lab/domu.img", Cmdline: "console=hvc0 g.ip=192.168.0.101/24", OnCrash: "preserve",
			Disks: []xen.Disk{{Dev: "xvda", Path: "/dev/guests/web1-disk"}},
			Vifs:  []xen.Vif{{Name: "web1.0", Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 0x65}}},
		},
		"pvh": {
			Name: "pvh1", UUID: uuid.MustParse("8aa1a82e-33ab-48cc-8b1b-630f0ce4b1fa"), Type: xen.PVH, Memory: 128 << 20, VCPUs: 1,
			Kernel: "/lab/vmlinuz", Ramdisk: "/lab/domu.img", Cmdline: "console=hvc0 g.ip=192.168.0.101/24", OnCrash: "preserve",
			Disks: []xen.Disk{{Dev: "xvda", Path: "/dev/guests/pvh1-disk"}},
			Vifs:  []xen.Vif{{Name: "pvh1.0", Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 0x66}}},
		},
	} {
		specs, err := parseConfigs(read(t, "tables/list-l-"+name+".out"))
		require.NoError(t, err)
		require.Len(t, specs, 1)
		for _, spec := range specs {
			assert.Equal(t, want.WithDefaults(), spec)
			assert.NoError(t, spec.Validate())
		}
	}
	specs, err := parseConfigs(read(t, "tables/list-l-dom0.out"))
	require.NoError(t, err)
	assert.Empty(t, specs, "dom0 is none of ours")
}

// What has its default is left out, escapes and white space differ between the
// JSON writers of releases, and policies have two forms.
func TestConfigsOfOtherReleases(t *testing.T) {
	const id = "8aa1a82e-33ab-48cc-8b1b-630f0ce4b1fa"
	specs, err := parseConfigs(`[{"domid":3,"config":{"c_info":{"type":"hvm","name":"win","uuid":"` + id + `"},"b_info":{"max_vcpus":2,"avail_vcpus":[0,1],
		"max_memkb":262144,"target_memkb":131072,"tsc_mode":"native","type.hvm":{"boot":"dc","vnc":{"enable":"True"}},
		"cpuid":{"cpuid":[{"leaf":7,"subleaf":0,"ebx":"xxxxxxxxxxxxxxxxxxxxxxxxxx0xxxxx"},{"leaf":1,"edx":"11111111111111111111111111111111","ecx":"0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}],"msr":[]}},
		"disks":[{"pdev_path":"\/srv\/a.iso","vdev":"hdc","is_cdrom":1},{"pdev_path":"/dev/a","vdev":"xvda","readwrite":1}],"on_soft_reset":"soft_reset","on_crash":"rename_restart"}}]`)
	require.NoError(t, err)
	assert.Equal(t, xen.Spec{
		Name: "win", UUID: uuid.MustParse(id), Type: xen.HVM, Memory: 128 << 20, MaxMemory: 256 << 20, VCPUs: 2, MaxVCPUs: 2, Weight: 256,
		TSCMode: "native", OnReboot: "destroy", OnCrash: "rename-restart", Boot: "dc", VNC: true,
		Disks: []xen.Disk{{Dev: "hdc", Path: "/srv/a.iso", ReadOnly: true, CDROM: true}, {Dev: "xvda", Path: "/dev/a"}},
		CPUID: []string{"0x7,0:ebx=xxxxxxxxxxxxxxxxxxxxxxxxxx0xxxxx", "0x1:ecx=0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx,edx=11111111111111111111111111111111"},
	}, specs[3])
	for _, text := range []string{"", "{}", `[{"domid":"x"}]`, `[{"domid":1,"config":{"c_info":{"uuid":"x"}}}]`, `[{"domid":1,"config":{"nics":[{"mac":"zz"}]}}]`,
		`[{"domid":1,"config":{"b_info":{"cpuid":[1]}}}]`} {
		_, err := parseConfigs(text)
		require.Error(t, err, text)
	}
}

func FuzzTables(f *testing.F) {
	for _, name := range []string{"block-list", "network-list-two", "vcpu-list-offline", "sched-credit2-get"} {
		f.Add(read(f, "tables/"+name+".out"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = parseBlocks(text)
		_, _ = parseNICs(text)
		if share, err := parseShare(text); err == nil {
			require.GreaterOrEqual(t, share.Weight, 0)
		}
		if vcpus, err := parseVCPUs(text); err == nil {
			for i, v := range vcpus {
				require.Equal(t, i, v.Number)
			}
		}
	})
}

func FuzzParseConfigs(f *testing.F) {
	f.Add(read(f, "tables/list-l-pv.out"))
	f.Add(`[{"domid":3,"config":{"b_info":{"cpuid":{"cpuid":[{"leaf":7,"subleaf":0,"ebx":"x"}]}}}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		specs, err := parseConfigs(text)
		if err == nil {
			for id := range specs {
				require.NotZero(t, id)
			}
		}
	})
}

func FuzzParseInfo(f *testing.F) {
	f.Add(read(f, "info.out"))
	f.Fuzz(func(t *testing.T, text string) {
		info, err := parseInfo(text)
		if err == nil {
			require.GreaterOrEqual(t, info.FreeMemory, int64(0))
		}
	})
}

// FuzzExplain: every text of xl has a meaning or none, and a line to show.
func FuzzExplain(f *testing.F) {
	f.Add(read(f, "said/no-disk.err"))
	f.Add(read(f, "said/block-attach-busy.err"))
	f.Fuzz(func(t *testing.T, stderr string) {
		require.Error(t, explain(stderr, errStays))
		_ = mentions(stderr, "1")
	})
}
