package xentest

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// devices attaches and detaches, with every failure followed by a look at what
// it left and by the same attach done right.
func (s *suite) devices(t *testing.T) {
	d := role[xen.Devices](t, s)
	spec, other := s.spec(t, "suite-devices"), s.spec(t, "suite-other")
	s.start(t, spec)
	_, err := s.d.Create(t.Context(), other, &xen.CreateOptions{Paused: true})
	require.NoError(t, err)
	s.is(t, spec)

	disk := xen.Disk{Dev: "xvdb", Path: s.Disk(t)}
	both := spec.Clone()
	both.Disks = append(both.Disks, disk)
	for _, tc := range []struct {
		name  string
		disk  xen.Disk
		means error
	}{
		{"missing disk", xen.Disk{Dev: "xvdb", Path: disk.Path + "-nope"}, xen.ErrInvalid},
		{"busy disk", xen.Disk{Dev: "xvdb", Path: other.Disks[0].Path}, xen.ErrBusy},
		{"busy disk read-only", xen.Disk{Dev: "xvdb", Path: other.Disks[0].Path, ReadOnly: true}, xen.ErrBusy},
		{"own disk", xen.Disk{Dev: "xvdb", Path: spec.Disks[0].Path}, xen.ErrBusy},
		{"taken place", xen.Disk{Dev: "xvda", Path: disk.Path}, fs.ErrExist},
		{"no place", xen.Disk{Dev: "xvdz", Path: disk.Path}, xen.ErrInvalid},
		{"a CD-ROM drive", xen.Disk{Dev: "hdc", Path: disk.Path, ReadOnly: true, CDROM: true}, xen.ErrInvalid},
	} {
		s.run(t, tc.name, func(t *testing.T) {
			err := d.AttachDisk(t.Context(), spec.UUID, tc.disk)
			refused(t, err, "attach disk", tc.means)
			require.NotErrorIs(t, err, xen.ErrDirty)
			s.is(t, spec)
		})
	}
	s.run(t, "attach a disk", func(t *testing.T) {
		require.NoError(t, d.AttachDisk(t.Context(), spec.UUID, disk))
		s.is(t, both)
	})
	s.run(t, "attached already", func(t *testing.T) {
		refused(t, d.AttachDisk(t.Context(), spec.UUID, disk), "attach disk", fs.ErrExist)
		s.is(t, both)
	})
	s.run(t, "it is busy for others", func(t *testing.T) {
		err := d.AttachDisk(t.Context(), other.UUID, disk)
		refused(t, err, "attach disk", xen.ErrBusy)
		require.NotErrorIs(t, err, xen.ErrDirty, "although that guest is paused")
		s.is(t, other)
	})
	s.run(t, "detach a disk", func(t *testing.T) {
		require.NoError(t, d.DetachDisk(t.Context(), spec.UUID, disk.Dev))
		s.is(t, spec)
		refused(t, d.DetachDisk(t.Context(), spec.UUID, disk.Dev), "detach disk", fs.ErrNotExist)
		refused(t, d.DetachDisk(t.Context(), spec.UUID, "51712"), "detach disk", xen.ErrInvalid)
		s.is(t, spec)
	})
	s.vifs(t, d, spec, other)
}

func (s *suite) vifs(t *testing.T, d xen.Devices, spec, other xen.Spec) {
	vif := xen.Vif{Name: "suite-x.1", Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 2, 1}}
	both := spec.Clone()
	both.Vifs = append(both.Vifs, vif)
	change := func(do func(*xen.Vif)) xen.Vif {
		v := vif
		do(&v)
		return v
	}
	cases := []struct {
		name  string
		vif   xen.Vif
		means error
	}{
		{"no bridge", change(func(v *xen.Vif) { v.Bridge = "nobridge" }), xen.ErrInvalid},
		{"no name", change(func(v *xen.Vif) { v.Name = "" }), xen.ErrInvalid},
		{"no address", change(func(v *xen.Vif) { v.MAC = xen.MAC{} }), xen.ErrInvalid},
	}
	if len(spec.Vifs) > 0 && len(other.Vifs) > 0 {
		cases = append(cases, []struct {
			name  string
			vif   xen.Vif
			means error
		}{
			{"taken address", change(func(v *xen.Vif) { v.MAC = spec.Vifs[0].MAC }), fs.ErrExist},
			{"taken name", change(func(v *xen.Vif) { v.Name = other.Vifs[0].Name }), fs.ErrExist},
		}...)
	}
	for _, tc := range cases {
		s.run(t, tc.name, func(t *testing.T) {
			err := d.AttachVif(t.Context(), spec.UUID, tc.vif)
			refused(t, err, "attach vif", tc.means)
			require.NotErrorIs(t, err, xen.ErrDirty)
			s.is(t, spec)
		})
	}
	s.run(t, "attach a vif", func(t *testing.T) {
		require.NoError(t, d.AttachVif(t.Context(), spec.UUID, vif))
		s.is(t, both)
		refused(t, d.AttachVif(t.Context(), spec.UUID, vif), "attach vif", fs.ErrExist)
		s.is(t, both)
	})
	s.run(t, "detach a vif", func(t *testing.T) {
		require.NoError(t, d.DetachVif(t.Context(), spec.UUID, vif.MAC))
		s.is(t, spec)
		refused(t, d.DetachVif(t.Context(), spec.UUID, vif.MAC), "detach vif", fs.ErrNotExist)
		s.is(t, spec)
	})
}
