package xen

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func goodSpec(t testing.TB) Spec {
	t.Helper()
	mac, err := ParseMAC("00:16:3e:00:00:65")
	require.NoError(t, err)
	return Spec{
		Name: "web1", UUID: uuid.New(), Type: PVH, Memory: 128 << 20, VCPUs: 1, Kernel: "/boot/vmlinuz",
		Disks: []Disk{{Dev: "xvda", Path: "/dev/guests/web1"}, {Dev: "xvdp", Path: "/dev/guests/iso", ReadOnly: true}},
		Vifs:  []Vif{{Name: "web1.0", Bridge: "xenint", MAC: mac}},
	}
}

func TestValidNames(t *testing.T) {
	for _, name := range []string{"a", "web1", "a-b--c", "z" + strings.Repeat("9", 62), "incoming", "a--incoming1"} {
		assert.True(t, ValidName(name), name)
	}
	for _, name := range []string{
		"", "1", "42", "-web", "Web", "web_1", "web.1", "web 1", "web1\n", "é", "../x", "web1--incoming", "web1--migratedaway", "z" + strings.Repeat("9", 63), "a\x00",
	} {
		assert.False(t, ValidName(name), name)
	}
}

func TestValidateTakesTheLimits(t *testing.T) {
	for _, change := range []func(*Spec){
		func(*Spec) {},
		func(s *Spec) { s.Memory, s.VCPUs, s.Type = 32<<20, 128, PV },
		func(s *Spec) { s.Memory = 1 << 40 },
		func(s *Spec) { s.Cmdline = strings.Repeat("x", 1023) },
		func(s *Spec) { s.Disks, s.Vifs = nil, nil },
		func(s *Spec) { s.MaxMemory, s.MaxVCPUs, s.Weight, s.Cap = 1<<40, 128, 65535, 12800 },
		func(s *Spec) { s.CPUID = []string{"0x7,0:ebx=" + strings.Repeat("x", 31) + "0"} },
		func(s *Spec) {
			s.Type, s.Kernel, s.Boot, s.VNC = HVM, "", "dcn", true
			s.Disks = append(s.Disks, Disk{Dev: "hdc", Path: "/srv/install.iso", ReadOnly: true, CDROM: true})
		},
		func(s *Spec) { s.TSCMode, s.OnReboot, s.OnCrash = "native", "destroy", "restart" },
		func(s *Spec) { s.Disks[0].ReadOnly, s.Disks[1].Path = true, s.Disks[0].Path },
	} {
		s := goodSpec(t)
		change(&s)
		assert.NoError(t, s.Validate())
	}
}

func TestValidateNamesTheField(t *testing.T) {
	for _, tc := range []struct {
		field  string
		change func(*Spec)
	}{
		{"name", func(s *Spec) { s.Name = "Web" }},
		{"uuid", func(s *Spec) { s.UUID = uuid.Nil }},
		{"type", func(s *Spec) { s.Type = "vm" }},
		{"memory", func(s *Spec) { s.Memory = 31 << 20 }},
		{"memory", func(s *Spec) { s.Memory = 128<<20 + 4096 }},
		{"memory", func(s *Spec) { s.Memory = 1<<40 + 1<<20 }},
		{"memory", func(s *Spec) { s.Memory = -64 << 20 }},
		{"vcpus", func(s *Spec) { s.VCPUs = 0 }},
		{"vcpus", func(s *Spec) { s.VCPUs = 129 }},
		{"kernel", func(s *Spec) { s.Kernel = "" }},
		{"kernel", func(s *Spec) { s.Kernel = "vmlinuz" }},
		{"kernel", func(s *Spec) { s.Kernel = "/boot/../etc/shadow" }},
		{"kernel", func(s *Spec) { s.Kernel = "/boot/\xff" }},
		{"ramdisk", func(s *Spec) { s.Ramdisk = "/boot/x\n" }},
		{"cmdline", func(s *Spec) { s.Cmdline = "a\nb" }},
		{"cmdline", func(s *Spec) { s.Cmdline = strings.Repeat("x", 1024) }},
		{"kernel", func(s *Spec) { s.Type, s.Kernel = HVM, "vmlinuz" }},
		{"max_memory", func(s *Spec) { s.MaxMemory = s.Memory - 1<<20 }},
		{"max_memory", func(s *Spec) { s.MaxMemory = s.Memory + 4096 }},
		{"max_vcpus", func(s *Spec) { s.VCPUs, s.MaxVCPUs = 2, 1 }},
		{"max_vcpus", func(s *Spec) { s.MaxVCPUs = 129 }},
		{"weight", func(s *Spec) { s.Weight = 65536 }},
		{"weight", func(s *Spec) { s.Weight = -1 }},
		{"cap", func(s *Spec) { s.Cap = 101 }},
		{"cap", func(s *Spec) { s.Cap = -1 }},
		{"cpuid[0]", func(s *Spec) { s.CPUID = []string{"host,avx=0"} }},
		{"cpuid[0]", func(s *Spec) { s.CPUID = []string{"0x7,0:ebx=x"} }},
		{"cpuid", func(s *Spec) { s.CPUID = make([]string, 33) }},
		{"boot", func(s *Spec) { s.Boot = "d" }},
		{"boot", func(s *Spec) { s.Type, s.Boot = HVM, "x" }},
		{"vnc", func(s *Spec) { s.VNC = true }},
		{"disks[0].cdrom", func(s *Spec) { s.Disks[0] = Disk{Dev: "hdc", Path: "/x.iso", ReadOnly: true, CDROM: true} }},
		{"disks[0].dev", func(s *Spec) {
			s.Type, s.Disks[0] = HVM, Disk{Dev: "xvda", Path: "/x.iso", ReadOnly: true, CDROM: true}
		}},
		{"disks[0].path", func(s *Spec) { s.Type, s.Disks[0] = HVM, Disk{Dev: "hdc", Path: "/dev/x", ReadOnly: true, CDROM: true} }},
		{"disks[0].path", func(s *Spec) {
			s.Type, s.Disks[0] = HVM, Disk{Dev: "hdc", Path: "/etc/shadow", ReadOnly: true, CDROM: true}
		}},
		{"disks[0].read_only", func(s *Spec) { s.Type, s.Disks[0] = HVM, Disk{Dev: "hdc", Path: "/x.iso", CDROM: true} }},
		{"disks[2].dev", func(s *Spec) {
			s.Type, s.Disks = HVM, append(s.Disks, Disk{Dev: "hda", Path: "/x.iso", ReadOnly: true, CDROM: true})
		}},
		{"tsc_mode", func(s *Spec) { s.TSCMode = "fast" }},
		{"on_reboot", func(s *Spec) { s.OnReboot = "rename-restart" }},
		{"on_crash", func(s *Spec) { s.OnCrash = "coredump-destroy" }},
		{"disks[0].dev", func(s *Spec) { s.Disks[0].Dev = "xvdq" }},
		{"disks[0].dev", func(s *Spec) { s.Disks[0].Dev = "sda" }},
		{"disks[1].dev", func(s *Spec) { s.Disks[1].Dev = "xvda" }},
		{"disks[0].path", func(s *Spec) { s.Disks[0].Path = "guests/web1" }},
		{"disks[1].path", func(s *Spec) { s.Disks[1].Path = s.Disks[0].Path }},
		{"vifs[0].name", func(s *Spec) { s.Vifs[0].Name = "sixteen-bytes-xx" }},
		{"vifs[0].name", func(s *Spec) { s.Vifs[0].Name = ".." }},
		{"vifs[0].name", func(s *Spec) { s.Vifs[0].Name = "" }},
		{"vifs[0].bridge", func(s *Spec) { s.Vifs[0].Bridge = "a,script=x" }},
		{"vifs[0].bridge", func(s *Spec) { s.Vifs[0].Bridge = "-x" }},
		{"vifs[0].mac", func(s *Spec) { s.Vifs[0].MAC = MAC{} }},
		{"vifs[0].rate", func(s *Spec) { s.Vifs[0].Rate = -8000 }},
		{"vifs[0].rate", func(s *Spec) { s.Vifs[0].Rate = 7992 }},
		{"vifs[0].rate", func(s *Spec) { s.Vifs[0].Rate = 10_001 }},
		{"vifs[0].rate", func(s *Spec) { s.Vifs[0].Rate = MaxVifRate + 8 }},
		{"vifs[0].mac", func(s *Spec) { s.Vifs[0].MAC[0] = 1 }},
		{"vifs[1].name", func(s *Spec) { s.Vifs = append(s.Vifs, s.Vifs[0]); s.Vifs[1].MAC[5] = 9 }},
		{"vifs[1].mac", func(s *Spec) { s.Vifs = append(s.Vifs, s.Vifs[0]); s.Vifs[1].Name = "web1.1" }},
	} {
		s := goodSpec(t)
		tc.change(&s)
		err := s.Validate()
		require.ErrorIs(t, err, ErrInvalid, tc.field)
		var field *FieldError
		require.ErrorAs(t, err, &field)
		assert.Equal(t, tc.field, field.Field)
		assert.Contains(t, err.Error(), tc.field)
	}
}

func TestValidateTellsAll(t *testing.T) {
	err := Spec{}.Validate()
	for _, field := range []string{"name", "uuid", "type", "memory", "vcpus", "kernel"} {
		assert.ErrorContains(t, err, field)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	s := goodSpec(t)
	s.CPUID = []string{"a"}
	c := s.Clone()
	c.Disks[0].Path, c.Vifs[0].Name, c.CPUID[0] = "/x", "x", "x"
	assert.Equal(t, "a", s.CPUID[0])
	assert.Equal(t, "/dev/guests/web1", s.Disks[0].Path)
	assert.Equal(t, "web1.0", s.Vifs[0].Name)
}

func TestErrorText(t *testing.T) {
	assert.EqualError(t, &Error{Op: "create", Name: "web1", Err: ErrNoMemory}, "xen: create web1: not enough free memory")
	assert.EqualError(t, &Error{Op: "list", Err: errors.New("broken")}, "xen: list: broken")
	assert.EqualError(t, &Error{Op: "create", Name: "a\nb", Err: ErrInvalid}, `xen: create "a\nb": invalid`)
}
