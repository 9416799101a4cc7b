package xen

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDefaultsAreWrittenOut(t *testing.T) {
	s := goodSpec(t)
	full := s.WithDefaults()
	assert.Equal(t, s.Memory, full.MaxMemory)
	assert.Equal(t, s.VCPUs, full.MaxVCPUs)
	assert.Equal(t, 256, full.Weight)
	assert.Equal(t, []string{"default", "restart", "destroy"}, []string{full.TSCMode, full.OnReboot, full.OnCrash})
	assert.Equal(t, full, full.WithDefaults())
	require.NoError(t, full.Validate())
}

func TestDevicesAlone(t *testing.T) {
	s := goodSpec(t)
	require.NoError(t, s.Disks[0].Validate())
	require.NoError(t, s.Vifs[0].Validate())
	require.ErrorIs(t, Disk{Dev: "xvdq", Path: "/dev/x"}.Validate(), ErrInvalid)
	require.ErrorIs(t, Disk{Dev: "hdc", Path: "/dev/x", ReadOnly: true, CDROM: true}.Validate(), ErrInvalid)
	require.ErrorIs(t, Vif{Name: "a", Bridge: "b"}.Validate(), ErrInvalid)
	require.NoError(t, Share{Weight: 1, Cap: 200}.Validate(2))
	require.ErrorIs(t, Share{Weight: 1, Cap: 201}.Validate(2), ErrInvalid)
	require.ErrorIs(t, Share{}.Validate(2), ErrInvalid, "0 is no weight once the domain runs")
}

func TestClashes(t *testing.T) {
	rw, ro := Disk{Path: "/dev/a"}, Disk{Path: "/dev/a", ReadOnly: true}
	assert.True(t, rw.Clashes(rw))
	assert.True(t, rw.Clashes(ro))
	assert.False(t, ro.Clashes(ro))
	assert.False(t, rw.Clashes(Disk{Path: "/dev/b"}))
	assert.False(t, Disk{CDROM: true}.Clashes(Disk{CDROM: true}), "two empty drives")
}

func TestCPUs(t *testing.T) {
	for text, want := range map[string]CPUSet{"all": nil, "none": {}, "0": {0}, "0-3,5": {0, 1, 2, 3, 5}, "5,0-1": {0, 1, 5}, "1,1": {1}, "4095": {4095}} {
		set, err := ParseCPUs(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, set, text)
		again, err := ParseCPUs(set.String())
		require.NoError(t, err, text)
		assert.Equal(t, set, again, text)
	}
	for _, text := range []string{"", "-1", "1-", "3-1", "4096", "a", "1,", " 1", "+1", "nodes:0", "^1", "all,1", "0x1"} {
		_, err := ParseCPUs(text)
		require.ErrorIs(t, err, ErrInvalid, text)
	}
	assert.Equal(t, CPUSet{0, 1}, CPUSet(nil).On(2))
	assert.Equal(t, CPUSet{1}, CPUSet{1, 5}.On(2))
	require.NoError(t, CPUSet(nil).Validate(1))
	require.NoError(t, CPUSet{0, 1}.Validate(2))
	for _, bad := range []CPUSet{{}, {-1}, {2}, {1, 0}, {0, 0}} {
		require.ErrorIs(t, bad.Validate(2), ErrInvalid, "%v", []int(bad))
	}
}

func FuzzParseCPUs(f *testing.F) {
	f.Add("0-3,5")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := ParseCPUs(text)
		if err != nil {
			return
		}
		again, err := ParseCPUs(set.String())
		require.NoError(t, err)
		require.Equal(t, set, again)
	})
}

func TestFeatures(t *testing.T) {
	for _, tc := range []struct {
		caps        []string
		types, live []Type
	}{
		{[]string{"pv", "hvm", "hap", "gnttab-v1"}, []Type{PVH, HVM, PV}, []Type{PVH, HVM}},
		{[]string{"pv", "hvm", "hap", "shadow"}, []Type{PVH, HVM, PV}, []Type{PVH, HVM, PV}},
		{[]string{"pv"}, []Type{PV}, nil},
		{[]string{"hvm", "shadow"}, []Type{PVH, HVM}, []Type{PVH, HVM}},
		{nil, nil, nil},
	} {
		assert.Equal(t, Features{Types: tc.types, Live: tc.live}, FeaturesOf(tc.caps), "%v", tc.caps)
	}
}

// FuzzParseMAC: what is an address is one in its one form, and is written back
// as it is read.
func FuzzParseMAC(f *testing.F) {
	for _, s := range []string{"00:16:3e:01:02:03", "00-16-3e-01-02-03", "0016.3e01.0203", "01:00:5e:00:00:01", "0:1:2:3:4:5", "00:16:3E:00:00:0A", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mac, err := ParseMAC(s)
		if err != nil {
			return
		}
		require.Len(t, s, 17)
		require.Zero(t, mac[0]&1, "multicast")
		again, err := ParseMAC(mac.String())
		require.NoError(t, err)
		require.Equal(t, mac, again)
	})
}
