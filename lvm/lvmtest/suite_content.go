package lvmtest

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
)

// TestContent is the half of the suite that needs devices: what volumes hold,
// when their device nodes are there, who may not be disturbed.
func TestContent(t *testing.T, h Harness) {
	require.NotEmpty(t, h.Pool)
	h.run(t, []suiteCase{
		{"created", created}, {"no remains of the last owner", remanence},
		{"unwiped, then wiped", thenWiped}, {"create finishes a wipe", finishes},
		{"skip keeps it off after a boot", skipBoot}, {"on and off", onOff}, {"busy", busy},
		{"device", deviceModel}, {"device ends", deviceEnds},
		{"snapshot", snapshot}, {"changed", changed}, {"changed thin", changedThin},
		{"changed often", changedOften}, {"snapshot overflows", overflow},
		{"snapshot goes with its origin", withOrigin}, {"snapshot refused", snapshotRefused},
		{"thin", thin}, {"thin promises", thinPromises}, {"thin snapshot", thinSnapshot},
		{"grow online", growOnline}, {"grow with a snapshot", growWithSnapshot}, {"rename online", renameOnline},
		{"merge", mergeThick}, {"merge thin", mergeThin}, {"create pool", createPool}, {"grow pool", growPool},
		{"fill", fill},
		{"grow room", growRoom}, {"grow metadata", growMetadata}, {"grow room refused", growRoomRefused},
		{"guard", guardThick}, {"guard overflowed", guardOverflowed}, {"guard thin", guardThin},
	})
}

func created(s *suite) {
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 2*s.extent - 1, Tags: []string{"b", "a"}})
	assert.Equal(s, lvm.Volume{ID: s.id("web1"), Size: 2 * s.extent, Kind: lvm.Thick, Tags: []string{"a", "b"}, Active: true, Path: v.Path}, v)
	assert.Equal(s, v, s.volume("web1"))
	assert.FileExists(s, v.Path)
	s.zeros(v.ID)
	_, err := s.Manager.Create(s.ctx, lvm.Spec{ID: v.ID, Size: v.Size})
	s.refused(err, "create", fs.ErrExist)
	s.refused(s.Manager.Wipe(s.ctx, v.ID), "wipe", lvm.ErrInvalid)
}

// remanence fills a volume, gives it back, and looks at it as the next owner.
func remanence(s *suite) {
	v := s.active("web1", 2)
	s.write(v.ID, 0, bytes.Repeat([]byte("secret.."), int(v.Size/8)))
	require.NoError(s, s.Manager.Remove(s.ctx, v.ID))
	s.zeros(s.active("web2", 3).ID)
}

func thenWiped(s *suite) {
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 2 * s.extent, Tags: []string{"a"}, Unwiped: true})
	require.NoError(s, s.Manager.Wipe(s.ctx, v.ID))
	v.Tags = []string{"a"}
	assert.Equal(s, v, s.volume("web1"), "inactive, with the activation-skip flag")
	s.refused(s.Manager.Wipe(s.ctx, v.ID), "wipe", lvm.ErrInvalid)
	require.NoError(s, s.Manager.Activate(s.ctx, v.ID))
	s.zeros(v.ID)
}

func finishes(s *suite) {
	s.unwiped("web1", 2)
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 2 * s.extent, Tags: []string{"a"}})
	assert.Equal(s, []string{"a"}, v.Tags)
	assert.True(s, v.Active)
	assert.False(s, v.Skip)
	s.zeros(v.ID)
}

func skipBoot(s *suite) {
	plain := s.active("plain", 1)
	v := s.create(lvm.Spec{ID: s.id("skipped"), Size: 1, Skip: true, Inactive: true})
	assert.True(s, v.Skip)
	assert.False(s, v.Active)
	assert.NoFileExists(s, v.Path)
	s.unwiped("unwiped", 1)
	s.Boot(s)
	assert.False(s, s.volume("skipped").Active)
	assert.False(s, s.volume("unwiped").Active)
	assert.NoFileExists(s, v.Path)
	assert.Equal(s, plain, s.volume("plain"))

	require.NoError(s, s.Manager.Activate(s.ctx, v.ID), "only we turn it on")
	assert.FileExists(s, v.Path)
	require.NoError(s, s.Manager.SetSkip(s.ctx, v.ID, false))
	s.Boot(s)
	assert.True(s, s.volume("skipped").Active)
	require.NoError(s, s.Manager.SetSkip(s.ctx, plain.ID, true))
	assert.True(s, s.volume("plain").Active, "the flag alone turns nothing off")
	s.Boot(s)
	assert.False(s, s.volume("plain").Active)
}

func onOff(s *suite) {
	v := s.active("web1", 1)
	s.write(v.ID, 10, []byte("hello"))
	require.NoError(s, s.Manager.Activate(s.ctx, v.ID), "twice is no error")
	require.NoError(s, s.Manager.Deactivate(s.ctx, v.ID))
	assert.NoFileExists(s, v.Path)
	assert.False(s, s.volume("web1").Active)
	_, err := s.Manager.Open(s.ctx, v.ID)
	s.refused(err, "open", lvm.ErrInactive)
	_, err = s.Manager.Snapshot(s.ctx, v.ID, "snap", nil)
	s.refused(err, "snapshot", lvm.ErrInactive)
	require.NoError(s, s.Manager.Deactivate(s.ctx, v.ID), "twice is no error")
	require.NoError(s, s.Manager.Activate(s.ctx, v.ID))
	assert.Equal(s, "hello", string(s.content(v.ID)[10:15]))
}

func busy(s *suite) {
	v := s.active("web1", 1)
	release := s.Hold(s, v)
	assert.True(s, s.volume("web1").Open)
	s.refused(s.Manager.Remove(s.ctx, v.ID), "remove", lvm.ErrBusy)
	s.refused(s.Manager.Deactivate(s.ctx, v.ID), "deactivate", lvm.ErrBusy)
	assert.True(s, s.volume("web1").Active)
	release()
	d := s.open(v.ID)
	s.refused(s.Manager.Deactivate(s.ctx, v.ID), "deactivate", lvm.ErrBusy)
	require.NoError(s, d.Close())
	require.NoError(s, s.Manager.Deactivate(s.ctx, v.ID))
	require.NoError(s, s.Manager.Remove(s.ctx, v.ID))
}

func snapshot(s *suite) {
	v := s.active("web1", 2)
	s.write(v.ID, 0, []byte("before"))
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", &lvm.SnapshotOptions{Tags: []string{"a"}})
	require.NoError(s, err)
	assert.Equal(s, lvm.Volume{ID: s.id("web1-snap"), Size: v.Size, Kind: lvm.Snapshot, Origin: "web1", Tags: []string{"a"}, Active: true, Path: snap.Path}, snap)
	assert.Equal(s, snap, s.volume("web1-snap"))
	s.write(v.ID, 0, []byte("after!"))
	assert.Equal(s, "before", string(s.content(snap.ID)[:6]))
	assert.Equal(s, "after!", string(s.content(v.ID)[:6]))
	s.refused(s.Manager.Remove(s.ctx, v.ID), "remove", lvm.ErrBusy)
	require.NoError(s, s.Manager.Remove(s.ctx, snap.ID))
	assert.Equal(s, "after!", string(s.content(v.ID)[:6]))
}

func overflow(s *suite) {
	v := s.active("web1", 3)
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", &lvm.SnapshotOptions{Size: s.extent})
	require.NoError(s, err)
	data := bytes.Repeat([]byte("12345678"), int(2*s.extent/8))
	s.write(v.ID, 0, data)
	_, err = s.Manager.Changed(s.ctx, snap.ID)
	s.refused(err, "changed", lvm.ErrSnapshotInvalid)
	_, err = s.Manager.Open(s.ctx, snap.ID)
	s.refused(err, "open", lvm.ErrSnapshotInvalid)
	assert.True(s, bytes.Equal(data, s.content(v.ID)[:len(data)]), "the origin is unharmed")
	require.NoError(s, s.Manager.Remove(s.ctx, snap.ID))
}

func withOrigin(s *suite) {
	v := s.active("web1", 1)
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", nil)
	require.NoError(s, err)
	s.refused(s.Manager.Deactivate(s.ctx, snap.ID), "deactivate", errors.ErrUnsupported)
	s.refused(s.Manager.SetSkip(s.ctx, snap.ID, true), "skip", errors.ErrUnsupported)
	release := s.Hold(s, snap)
	s.refused(s.Manager.Deactivate(s.ctx, v.ID), "deactivate", lvm.ErrBusy)
	release()
	require.NoError(s, s.Manager.Deactivate(s.ctx, v.ID))
	assert.False(s, s.volume("web1-snap").Active)
	s.refused(s.Manager.Activate(s.ctx, snap.ID), "activate", errors.ErrUnsupported)
	_, err = s.Manager.Changed(s.ctx, snap.ID)
	s.refused(err, "changed", lvm.ErrInactive)
	require.NoError(s, s.Manager.Activate(s.ctx, v.ID))
	assert.True(s, s.volume("web1-snap").Active)
}

func snapshotRefused(s *suite) {
	v := s.active("web1", 1)
	snap, err := s.Manager.Snapshot(s.ctx, v.ID, "web1-snap", nil)
	require.NoError(s, err)
	for _, c := range []struct {
		origin lvm.ID
		name   string
		opts   *lvm.SnapshotOptions
		want   error
	}{
		{v.ID, "web1-snap", nil, fs.ErrExist},
		{v.ID, "web1", nil, fs.ErrExist},
		{v.ID, "Bad", nil, lvm.ErrInvalid},
		{v.ID, "snap2", &lvm.SnapshotOptions{Size: -1}, lvm.ErrInvalid},
		{v.ID, "snap2", &lvm.SnapshotOptions{Tags: []string{"a b"}}, lvm.ErrInvalid},
		{snap.ID, "snap2", nil, errors.ErrUnsupported},
		{s.id(s.Pool), "snap2", nil, errors.ErrUnsupported},
	} {
		_, err := s.Manager.Snapshot(s.ctx, c.origin, c.name, c.opts)
		s.refused(err, "snapshot", c.want)
	}
	s.create(lvm.Spec{ID: s.id("rest"), Size: s.group().Free, Unwiped: true})
	_, err = s.Manager.Snapshot(s.ctx, v.ID, "snap2", nil)
	s.refused(err, "snapshot", lvm.ErrNoSpace)
	assert.Equal(s, []string{"rest", "web1", "web1-snap"}, s.names())
}
