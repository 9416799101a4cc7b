package xentest

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// Harness lets TestDomains run on one implementation.
type Harness struct {
	// New returns a host without guests of the suite. It is called once a
	// group of cases; what a failed case left is destroyed by the suite.
	New func(t *testing.T) xen.Domains
	// Spec returns a spec that can start, with one disk, xvda, of its own. The
	// suite changes its name and type.
	Spec func(t *testing.T, typ xen.Type) xen.Spec
	// Types that the host can run; nil is PVH alone.
	Types []xen.Type
	// Booted waits until the guest hears a shutdown; nil: it hears at once.
	Booted func(t *testing.T, spec xen.Spec)
	// Deaf makes the guest ignore a shutdown; nil: a guest that has just been
	// started can not end within a second.
	Deaf func(t *testing.T, d xen.Domains, id uuid.UUID)
	// CreateTakes is how long Create works at least: one that is cancelled is
	// cancelled then. 0: before it begins.
	CreateTakes time.Duration
	// Boots tells how often the guest has booted, on a host where the suite
	// shall prove by it that a guest went on, or did not; nil: it is not asked.
	Boots func(t *testing.T, spec xen.Spec) int
	// Disk returns one more path that a disk can have, used by nobody. TestRoles
	// needs it.
	Disk func(t *testing.T) string
	// Image returns the path of one more image that a CD-ROM drive can have.
	// TestRoles needs it for HVM.
	Image func(t *testing.T) string
	// Skip names cases, as "PVH/busy disk", with the reason why they can not
	// run here.
	Skip map[string]string
}

// TestDomains runs what every implementation of xen.Domains must do. On a real
// host a group of cases shares its domains, because each start takes long.
func TestDomains(t *testing.T, h Harness) {
	if h.Types == nil {
		h.Types = []xen.Type{xen.PVH}
	}
	for i, typ := range h.Types {
		name := groupName(typ)
		t.Run(name, func(t *testing.T) {
			s := h.begin(t, name, typ)
			s.life(t)
			if i == 0 {
				s.refusals(t)
			}
		})
	}
	t.Run("hostile", func(t *testing.T) { h.begin(t, "hostile", h.Types[0]).hostile(t) })
	t.Run("nothing", func(t *testing.T) { h.begin(t, "nothing", h.Types[0]).nothing(t) })
}

func groupName(typ xen.Type) string {
	return map[xen.Type]string{xen.PVH: "PVH", xen.PV: "PV", xen.HVM: "HVM"}[typ]
}

// suite is one group of cases on one host.
type suite struct {
	Harness
	group string
	typ   xen.Type
	d     xen.Domains
}

func (h Harness) begin(t *testing.T, group string, typ xen.Type) *suite {
	return &suite{Harness: h, group: group, typ: typ, d: h.New(t)}
}

// run runs one case; later cases of the group go on after a failure.
func (s *suite) run(t *testing.T, name string, work func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		if why, ok := s.Skip[s.group+"/"+name]; ok {
			t.Skip(why)
		}
		work(t)
	})
}

// spec returns a spec of this name, and sees to it that it does not stay.
func (s *suite) spec(t *testing.T, name string) xen.Spec {
	t.Helper()
	spec := s.Spec(t, s.typ)
	spec.Name = name
	t.Cleanup(func() {
		err := s.d.Destroy(context.Background(), spec.UUID)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what the suite left: %v", err)
		}
	})
	return spec
}

// sees checks that Lookup and List agree on the domain, and returns it.
func (s *suite) sees(t *testing.T, id uuid.UUID, state xen.State) xen.Domain {
	t.Helper()
	one, err := s.d.Lookup(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, id, one.UUID)
	require.Equal(t, state, one.State)
	list, err := s.d.List(t.Context())
	require.NoError(t, err)
	for _, other := range list {
		require.NotZero(t, other.ID, "dom0 is not listed")
		if other.UUID == id {
			assert.Equal(t, one.ID, other.ID)
			assert.Equal(t, one.Name, other.Name)
			return one
		}
	}
	require.Fail(t, "it is not listed")
	return one
}

// lacks checks that a verb which the driver refused as unsupported is one of
// which it says so beforehand.
func (s *suite) lacks(t *testing.T, verb string) {
	t.Helper()
	d, ok := s.d.(xen.Featurer)
	require.True(t, ok, "a driver that can not %s tells so by Features", verb)
	f, err := d.Features(t.Context())
	require.NoError(t, err)
	require.Contains(t, f.Missing, verb)
}

// gone checks that nothing has the UUID.
func (s *suite) gone(t *testing.T, id uuid.UUID) {
	t.Helper()
	_, err := s.d.Lookup(t.Context(), id)
	require.ErrorIs(t, err, fs.ErrNotExist)
	list, err := s.d.List(t.Context())
	require.NoError(t, err)
	for _, other := range list {
		require.NotEqual(t, id, other.UUID)
	}
}

func (s *suite) free(t *testing.T) int64 {
	t.Helper()
	info, err := s.d.Info(t.Context())
	require.NoError(t, err)
	return info.FreeMemory
}

// refused checks that err is a *xen.Error of op that means what it should.
func refused(t *testing.T, err error, op string, means error) {
	t.Helper()
	require.ErrorIs(t, err, means)
	var e *xen.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, op, e.Op)
}
