package xentest

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// console reads what a guest prints at its start.
func (s *suite) console(t *testing.T) {
	d := role[xen.Consoler](t, s)
	spec := s.spec(t, "suite-console")
	_, err := s.d.Create(t.Context(), spec, &xen.CreateOptions{Paused: true})
	require.NoError(t, err)
	s.run(t, "console", func(t *testing.T) {
		c, err := d.Console(t.Context(), spec.UUID)
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, s.d.Unpause(t.Context(), spec.UUID))
		first := make([]byte, 1)
		_, err = io.ReadFull(c, first)
		require.NoError(t, err)
		_, err = c.Write([]byte("\n"))
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, c)
			ended <- err
		}()
		require.NoError(t, s.d.Destroy(t.Context(), spec.UUID))
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(time.Minute):
			require.Fail(t, "the console does not end with its domain")
		}
	})
}

// machine is for what only an emulated one has.
func (s *suite) machine(t *testing.T) {
	spec := s.spec(t, "suite-machine")
	spec.Boot, spec.VNC = "cd", true
	image := s.Image(t)
	spec.Disks = append(spec.Disks, xen.Disk{Dev: "hdc", Path: image, ReadOnly: true, CDROM: true})
	_, err := s.d.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	now := spec.Clone()

	s.run(t, "screen", func(t *testing.T) {
		at, err := role[xen.Screener](t, s).Screen(t.Context(), spec.UUID)
		require.NoError(t, err)
		assert.True(t, at.Addr().IsLoopback())
		conn, err := net.DialTimeout("tcp", at.String(), 10*time.Second)
		require.NoError(t, err)
		defer conn.Close()
		hello := make([]byte, 4)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
		_, err = io.ReadFull(conn, hello)
		require.NoError(t, err)
		assert.Equal(t, "RFB ", string(hello))
	})
	s.run(t, "configuration", func(t *testing.T) { s.is(t, now) })
	media := role[xen.Media](t, s)
	s.run(t, "eject", func(t *testing.T) {
		require.NoError(t, media.Eject(t.Context(), spec.UUID, "hdc"))
		now.Disks[1].Path = ""
		s.is(t, now)
	})
	s.run(t, "insert", func(t *testing.T) {
		require.NoError(t, media.Insert(t.Context(), spec.UUID, "hdc", image))
		now.Disks[1].Path = image
		s.is(t, now)
	})
	s.run(t, "swap", func(t *testing.T) {
		now.Disks[1].Path = s.Image(t)
		require.NoError(t, media.Insert(t.Context(), spec.UUID, "hdc", now.Disks[1].Path))
		s.is(t, now)
	})
	s.run(t, "no image", func(t *testing.T) {
		refused(t, media.Insert(t.Context(), spec.UUID, "hdc", "/srv/nope.iso"), "insert", xen.ErrInvalid)
		refused(t, media.Insert(t.Context(), spec.UUID, "hdc", "/etc/shadow"), "insert", xen.ErrInvalid)
		refused(t, media.Insert(t.Context(), spec.UUID, "hdc", s.Disk(t)), "insert", xen.ErrInvalid)
		refused(t, media.Insert(t.Context(), spec.UUID, "hdc", ""), "insert", xen.ErrInvalid)
		s.is(t, now)
	})
	s.run(t, "no drive", func(t *testing.T) {
		refused(t, media.Insert(t.Context(), spec.UUID, "hdd", image), "insert", fs.ErrNotExist)
		refused(t, media.Insert(t.Context(), spec.UUID, "xvda", image), "insert", xen.ErrInvalid)
		refused(t, media.Eject(t.Context(), spec.UUID, "hdd"), "eject", fs.ErrNotExist)
		s.is(t, now)
	})
}

// absent asks each role for a domain that is not there, and for what other
// types of domains have.
func (s *suite) absent(t *testing.T) {
	id := uuid.MustParse("00000000-0000-4000-8000-000000000000")
	spec := s.Spec(t, s.typ)
	spec.UUID, spec.Name = id, "suite-absent"
	for op, call := range map[string]func() error{
		"attach disk": func() error {
			return role[xen.Devices](t, s).AttachDisk(t.Context(), id, xen.Disk{Dev: "xvdb", Path: "/dev/null"})
		},
		"detach disk":   func() error { return role[xen.Devices](t, s).DetachDisk(t.Context(), id, "xvdb") },
		"attach vif":    func() error { return role[xen.Devices](t, s).AttachVif(t.Context(), id, spec.Vifs[0]) },
		"detach vif":    func() error { return role[xen.Devices](t, s).DetachVif(t.Context(), id, spec.Vifs[0].MAC) },
		"insert":        func() error { return role[xen.Media](t, s).Insert(t.Context(), id, "hdc", "/srv/x.iso") },
		"eject":         func() error { return role[xen.Media](t, s).Eject(t.Context(), id, "hdc") },
		"set memory":    func() error { return role[xen.Resizer](t, s).SetMemory(t.Context(), id, 64<<20) },
		"set vcpus":     func() error { return role[xen.Resizer](t, s).SetVCPUs(t.Context(), id, 1) },
		"vcpus":         func() error { _, err := role[xen.Scheduler](t, s).VCPUs(t.Context(), id); return err },
		"pin":           func() error { return role[xen.Scheduler](t, s).Pin(t.Context(), id, 0, nil, nil) },
		"share":         func() error { _, err := role[xen.Scheduler](t, s).Share(t.Context(), id); return err },
		"set share":     func() error { return role[xen.Scheduler](t, s).SetShare(t.Context(), id, xen.Share{Weight: 1}) },
		"config":        func() error { _, err := role[xen.Configurer](t, s).Config(t.Context(), id); return err },
		"update config": func() error { return role[xen.Configurer](t, s).UpdateConfig(t.Context(), spec) },
		"reboot":        func() error { _, err := role[xen.Rebooter](t, s).Reboot(t.Context(), id, nil); return err },
		"save":          func() error { return role[xen.Saver](t, s).Save(t.Context(), id, io.Discard, nil) },
		"console":       func() error { _, err := role[xen.Consoler](t, s).Console(t.Context(), id); return err },
		"screen":        func() error { _, err := role[xen.Screener](t, s).Screen(t.Context(), id); return err },
	} {
		s.run(t, op, func(t *testing.T) { refused(t, call(), op, fs.ErrNotExist) })
	}
	s.run(t, "not this type", func(t *testing.T) {
		there := s.spec(t, "suite-there")
		_, err := s.d.Create(t.Context(), there, &xen.CreateOptions{Paused: true})
		require.NoError(t, err)
		refused(t, role[xen.Media](t, s).Insert(t.Context(), there.UUID, "hdc", "/srv/x.iso"), "insert", errors.ErrUnsupported)
		refused(t, role[xen.Media](t, s).Eject(t.Context(), there.UUID, "hdc"), "eject", errors.ErrUnsupported)
		_, err = role[xen.Screener](t, s).Screen(t.Context(), there.UUID)
		refused(t, err, "screen", errors.ErrUnsupported)
	})
}
