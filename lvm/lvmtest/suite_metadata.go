package lvmtest

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
)

// TestMetadata is the half of the suite that needs no device: names, sizes,
// tags, flags and refusals. Its volumes stay unwiped.
func TestMetadata(t *testing.T, h Harness) {
	h.run(t, []suiteCase{
		{"groups", groups}, {"no such group", noGroup}, {"no such volume", noVolume},
		{"unwiped", unwiped}, {"unwiped is refused", unwipedRefused}, {"size is rounded up", rounded},
		{"exists", exists}, {"exists unfinished", existsUnfinished}, {"no space", noSpace}, {"last extent", lastExtent},
		{"names refused", namesRefused}, {"names taken", namesTaken}, {"hostile names", hostileNames},
		{"sizes refused", sizesRefused}, {"tags refused", tagsRefused}, {"tags", tags},
		{"skip", skip}, {"deactivate what is off", deactivateOff}, {"remove", remove}, {"no such pool", noPool},
		{"context ended", contextEnded}, {"changed of no snapshot", changedOfNone},
		{"grow unwiped", growUnwiped}, {"grow refused", growRefused}, {"rename", rename}, {"rename refused", renameRefused},
		{"merge of no snapshot", mergeOfNone}, {"fill of what is off", fillOfNone}, {"pools refused", poolsRefused},
	})
}

func groups(s *suite) {
	g := s.group()
	assert.Positive(s, g.Extent)
	assert.Zero(s, g.Size%g.Extent)
	assert.Zero(s, g.Free%g.Extent)
	assert.GreaterOrEqual(s, g.Free/g.Extent, int64(30))
	assert.Empty(s, s.names())
}

func noGroup(s *suite) {
	id := lvm.ID{Group: "absent", Name: "web1"}
	_, err := s.Manager.Volumes(s.ctx, "absent")
	s.refused(err, "volumes", fs.ErrNotExist)
	_, err = s.Manager.Volume(s.ctx, id)
	s.refused(err, "volume", fs.ErrNotExist)
	_, err = s.Manager.Create(s.ctx, lvm.Spec{ID: id, Size: 1})
	s.refused(err, "create", fs.ErrNotExist)
	_, err = s.Manager.CreatePool(s.ctx, lvm.PoolSpec{ID: id, Size: 1})
	s.refused(err, "create pool", fs.ErrNotExist)
}

func noVolume(s *suite) {
	for _, verb := range s.verbs(s.id("absent")) {
		s.refused(verb.call(s.ctx), verb.op, fs.ErrNotExist)
	}
}

// verb is a call that takes an existing volume.
type verb struct {
	op   string
	call func(context.Context) error
}

func (s *suite) verbs(id lvm.ID) []verb {
	m := s.Manager
	return []verb{
		{"volume", func(ctx context.Context) error { _, err := m.Volume(ctx, id); return err }},
		{"wipe", func(ctx context.Context) error { return m.Wipe(ctx, id) }},
		{"snapshot", func(ctx context.Context) error { _, err := m.Snapshot(ctx, id, "snap", nil); return err }},
		{"remove", func(ctx context.Context) error { return m.Remove(ctx, id) }},
		{"activate", func(ctx context.Context) error { return m.Activate(ctx, id) }},
		{"deactivate", func(ctx context.Context) error { return m.Deactivate(ctx, id) }},
		{"skip", func(ctx context.Context) error { return m.SetSkip(ctx, id, true) }},
		{"tag", func(ctx context.Context) error { return m.Tag(ctx, id, []string{"a"}, nil) }},
		{"grow", func(ctx context.Context) error { _, err := m.Grow(ctx, id, 1<<20); return err }},
		{"rename", func(ctx context.Context) error { _, err := m.Rename(ctx, id, "other"); return err }},
		{"merge", func(ctx context.Context) error { _, err := m.Merge(ctx, id); return err }},
		{"fill", func(ctx context.Context) error { _, err := m.Fill(ctx, id); return err }},
		{"open", func(ctx context.Context) error { _, err := m.Open(ctx, id); return err }},
		{"changed", func(ctx context.Context) error { _, err := m.Changed(ctx, id); return err }},
	}
}

func unwiped(s *suite) {
	before := s.group().Free
	v := s.create(lvm.Spec{ID: s.id("web1"), Size: 3 * s.extent, Tags: []string{"z", "a"}, Unwiped: true})
	assert.Equal(s, lvm.Volume{
		ID: s.id("web1"), Size: 3 * s.extent, Kind: lvm.Thick, Skip: true, Path: v.Path,
		Tags: []string{"a", lvm.TagWiping, "z"},
	}, v)
	assert.True(s, v.Unwiped())
	assert.True(s, strings.HasSuffix(v.Path, "/"+s.Group+"/web1"))
	assert.NoFileExists(s, v.Path)
	assert.Equal(s, v, s.volume("web1"))
	assert.Equal(s, []string{"web1"}, s.names())
	assert.Equal(s, before-3*s.extent, s.group().Free)
}

func unwipedRefused(s *suite) {
	v := s.unwiped("web1", 1)
	s.refused(s.Manager.Activate(s.ctx, v.ID), "activate", lvm.ErrUnwiped)
	s.refused(s.Manager.SetSkip(s.ctx, v.ID, false), "skip", lvm.ErrUnwiped)
	_, err := s.Manager.Open(s.ctx, v.ID)
	s.refused(err, "open", lvm.ErrUnwiped)
	_, err = s.Manager.Snapshot(s.ctx, v.ID, "snap", nil)
	s.refused(err, "snapshot", lvm.ErrUnwiped)
	assert.Equal(s, v, s.volume("web1"))
}

func rounded(s *suite) {
	size := func(name string, want int64) int64 {
		return s.create(lvm.Spec{ID: s.id(name), Size: want, Unwiped: true}).Size
	}
	assert.Equal(s, s.extent, size("one", 1))
	assert.Equal(s, s.extent, size("all", s.extent))
	assert.Equal(s, 2*s.extent, size("more", s.extent+1))
}

func exists(s *suite) {
	v := s.unwiped("web1", 2)
	again := s.unwiped("web1", 2) // it is what was asked for
	assert.Equal(s, v, again)
}

func existsUnfinished(s *suite) {
	v := s.unwiped("web1", 2)
	_, err := s.Manager.Create(s.ctx, lvm.Spec{ID: v.ID, Size: 3 * s.extent})
	s.refused(err, "create", fs.ErrExist)
	assert.ErrorContains(s, err, "remove it")
	assert.Equal(s, v, s.volume("web1"))
}

func noSpace(s *suite) {
	free := s.group().Free
	_, err := s.Manager.Create(s.ctx, lvm.Spec{ID: s.id("web1"), Size: free + 1, Unwiped: true})
	s.refused(err, "create", lvm.ErrNoSpace)
	assert.EqualError(s, err, fmt.Sprintf("lvm: create %s/web1: not enough free space (%d extents, needs %d)", s.Group, free/s.extent, free/s.extent+1))
	_, err = s.Manager.Create(s.ctx, lvm.Spec{ID: s.id("web1"), Size: 1<<63 - 1, Unwiped: true})
	s.refused(err, "create", lvm.ErrNoSpace)
	assert.Equal(s, free, s.group().Free)
	assert.Empty(s, s.names())
}

func lastExtent(s *suite) {
	s.create(lvm.Spec{ID: s.id("all"), Size: s.group().Free, Unwiped: true})
	assert.Zero(s, s.group().Free)
	_, err := s.Manager.Create(s.ctx, lvm.Spec{ID: s.id("more"), Size: 1, Unwiped: true})
	s.refused(err, "create", lvm.ErrNoSpace)
}

func namesRefused(s *suite) {
	for _, name := range append(hostile(), "Web1", "1web", "_web", "we_b", "w.b", "snapshot", "snapshot1", "pvmove0", strings.Repeat("a", 64)) {
		_, err := s.Manager.Create(s.ctx, lvm.Spec{ID: s.id(name), Size: 1, Unwiped: true})
		s.refused(err, "create", lvm.ErrInvalid)
	}
	assert.Empty(s, s.names())
}

func namesTaken(s *suite) {
	taken := []string{strings.Repeat("a", 63), "b", "web-1--disk-", "xsnapshot"}
	for _, name := range taken {
		assert.Equal(s, name, s.unwiped(name, 1).Name)
	}
	assert.Equal(s, taken, s.names())
}

// hostile are names that no command must ever see.
func hostile() []string {
	return []string{"", "-f", "--yes", "a/b", "../a", ".", "..", "a b", "a\nb", "a\x00b", "a;b", "$(a)", "é", "@a", strings.Repeat("a", 200)}
}

func hostileNames(s *suite) {
	for _, name := range hostile() {
		for _, verb := range s.verbs(s.id(name)) {
			s.refused(verb.call(s.ctx), verb.op, lvm.ErrInvalid)
		}
		for _, verb := range s.verbs(lvm.ID{Group: name, Name: "web1"}) {
			s.refused(verb.call(s.ctx), verb.op, lvm.ErrInvalid)
		}
	}
}

func sizesRefused(s *suite) {
	for _, size := range []int64{0, -1, -1 << 63} {
		_, err := s.Manager.Create(s.ctx, lvm.Spec{ID: s.id("web1"), Size: size, Unwiped: true})
		s.refused(err, "create", lvm.ErrInvalid)
	}
	assert.Empty(s, s.names())
}

func tagsRefused(s *suite) {
	v := s.unwiped("web1", 1)
	for _, tag := range []string{"", "a b", "-a", "@a", "a,b", "é", "a\n", lvm.TagWiping, strings.Repeat("a", 1025)} {
		_, err := s.Manager.Create(s.ctx, lvm.Spec{ID: s.id("web2"), Size: 1, Tags: []string{tag}, Unwiped: true})
		s.refused(err, "create", lvm.ErrInvalid)
		s.refused(s.Manager.Tag(s.ctx, v.ID, []string{tag}, nil), "tag", lvm.ErrInvalid)
		s.refused(s.Manager.Tag(s.ctx, v.ID, nil, []string{tag}), "tag", lvm.ErrInvalid)
	}
	assert.Equal(s, []lvm.Volume{v}, except(s.volumes(), s.Pool))
}

func except(volumes []lvm.Volume, name string) []lvm.Volume {
	var out []lvm.Volume
	for _, v := range volumes {
		if v.Name != name {
			out = append(out, v)
		}
	}
	return out
}

func tags(s *suite) {
	id := s.unwiped("web1", 1).ID
	long := strings.Repeat("l", 1024)
	odd := "k=v/x:y#z!&.-_+"
	require.NoError(s, s.Manager.Tag(s.ctx, id, []string{odd, long, "xenhost.owner=curacao"}, nil))
	assert.Equal(s, []string{odd, long, "xenhost.owner=curacao", lvm.TagWiping}, s.volume("web1").Tags)
	require.NoError(s, s.Manager.Tag(s.ctx, id, []string{"xenhost.owner=islay", "xenhost.epoch=8"}, []string{"xenhost.owner=curacao", long, odd, "never-there"}))
	want := []string{"xenhost.epoch=8", "xenhost.owner=islay", lvm.TagWiping}
	assert.Equal(s, want, s.volume("web1").Tags)
	require.NoError(s, s.Manager.Tag(s.ctx, id, []string{"xenhost.epoch=8"}, []string{"xenhost.owner=curacao"}), "twice is no error")
	require.NoError(s, s.Manager.Tag(s.ctx, id, []string{"xenhost.epoch=8"}, []string{"xenhost.epoch=8"}), "to add wins")
	require.NoError(s, s.Manager.Tag(s.ctx, id, nil, nil))
	assert.Equal(s, want, s.volume("web1").Tags)
}

func skip(s *suite) {
	v := s.unwiped("web1", 1)
	require.NoError(s, s.Manager.SetSkip(s.ctx, v.ID, true))
	assert.Equal(s, v, s.volume("web1"))
}

func deactivateOff(s *suite) {
	v := s.unwiped("web1", 1)
	require.NoError(s, s.Manager.Deactivate(s.ctx, v.ID))
	assert.Equal(s, v, s.volume("web1"))
}

func remove(s *suite) {
	before := s.group().Free
	s.unwiped("other", 1)
	v := s.unwiped("web1", 2)
	require.NoError(s, s.Manager.Remove(s.ctx, v.ID))
	assert.Equal(s, []string{"other"}, s.names())
	assert.Equal(s, before-s.extent, s.group().Free)
	s.refused(s.Manager.Remove(s.ctx, v.ID), "remove", fs.ErrNotExist)
	s.unwiped("web1", 1) // the name is free
}

func noPool(s *suite) {
	s.unwiped("thick", 1)
	_, err := s.Manager.Create(s.ctx, lvm.Spec{ID: s.id("web1"), Size: 1, Pool: "absent"})
	s.refused(err, "create", fs.ErrNotExist)
	_, err = s.Manager.Create(s.ctx, lvm.Spec{ID: s.id("web1"), Size: 1, Pool: "thick"})
	s.refused(err, "create", lvm.ErrInvalid)
	_, err = s.Manager.Create(s.ctx, lvm.Spec{ID: s.id("web1"), Size: 1, Pool: "thick", Unwiped: true})
	s.refused(err, "create", lvm.ErrInvalid)
	assert.Equal(s, []string{"thick"}, s.names())
}

func contextEnded(s *suite) {
	v := s.unwiped("web1", 1)
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	for _, verb := range s.verbs(v.ID) {
		s.refused(verb.call(ctx), verb.op, context.Canceled)
	}
	_, err := s.Manager.Create(ctx, lvm.Spec{ID: s.id("web2"), Size: 1})
	s.refused(err, "create", context.Canceled)
	assert.Equal(s, []lvm.Volume{v}, except(s.volumes(), s.Pool))
}

func changedOfNone(s *suite) {
	v := s.unwiped("web1", 1)
	_, err := s.Manager.Changed(s.ctx, v.ID)
	s.refused(err, "changed", lvm.ErrInvalid)
}
