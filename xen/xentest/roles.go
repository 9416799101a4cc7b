package xentest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// TestRoles runs what every implementation of the roles beyond xen.Domains must
// do: Devices, Configurer, Resizer, Scheduler, Rebooter, Saver, Media, Consoler,
// Screener, Featurer and cpuid.Teller. A group of cases has one guest of its own and needs
// nothing of the others, so that each can be run alone: PVH/devices.
func TestRoles(t *testing.T, h Harness) {
	if h.Types == nil {
		h.Types = []xen.Type{xen.PVH}
	}
	for _, typ := range h.Types {
		t.Run(groupName(typ), func(t *testing.T) {
			for _, group := range []struct {
				name string
				of   []xen.Type
				work func(*suite, *testing.T)
			}{
				{"devices", []xen.Type{xen.PVH, xen.PV}, (*suite).devices},
				{"sizes", []xen.Type{xen.PVH, xen.PV}, (*suite).sizes},
				{"saved", []xen.Type{xen.PVH, xen.PV}, (*suite).saved},
				{"console", []xen.Type{xen.PVH, xen.PV, xen.HVM}, (*suite).console},
				{"machine", []xen.Type{xen.HVM}, (*suite).machine},
			} {
				for _, of := range group.of {
					if of == typ {
						t.Run(group.name, func(t *testing.T) {
							group.work(h.begin(t, groupName(typ)+"/"+group.name, typ), t)
						})
					}
				}
			}
		})
	}
	t.Run("features", func(t *testing.T) {
		driver := role[xen.Featurer](t, h.begin(t, "features", h.Types[0]))
		features, err := driver.Features(t.Context())
		require.NoError(t, err)
		for _, typ := range h.Types {
			assert.Contains(t, features.Types, typ)
		}
		for _, typ := range features.Live {
			assert.Contains(t, features.Types, typ)
		}
	})
	t.Run("cpu", func(t *testing.T) { h.begin(t, "cpu", h.Types[0]).cpu(t) })
	t.Run("absent", func(t *testing.T) { h.begin(t, "absent", h.Types[0]).absent(t) })
}

// role is the driver of a group in another of its roles.
func role[R any](t *testing.T, s *suite) R {
	t.Helper()
	driver, ok := s.d.(R)
	if !ok {
		t.Skipf("the driver is no %T", *new(R))
	}
	return driver
}

// start creates the guest of a group and waits until it is up.
func (s *suite) start(t *testing.T, spec xen.Spec) xen.Domain {
	t.Helper()
	d, err := s.d.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	s.up(t, spec)
	return d
}

func (s *suite) up(t *testing.T, spec xen.Spec) {
	t.Helper()
	if s.Booted != nil {
		s.Booted(t, spec)
	}
}

// boots is how often the guest has booted, or 0 where that is not known.
func (s *suite) boots(t *testing.T, spec xen.Spec) int {
	t.Helper()
	if s.Boots == nil {
		return 0
	}
	return s.Boots(t, spec)
}

// is checks that the domain is made of want.
func (s *suite) is(t *testing.T, want xen.Spec) {
	t.Helper()
	got, err := role[xen.Configurer](t, s).Config(t.Context(), want.UUID)
	require.NoError(t, err)
	assert.Equal(t, want.WithDefaults(), got)
}
