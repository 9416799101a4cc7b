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

// life takes one guest from its first start to its end, three starts in all.
func (s *suite) life(t *testing.T) {
	spec := s.spec(t, "suite-life")
	before := s.free(t)
	var first xen.Domain

	s.run(t, "create paused", func(t *testing.T) {
		d, err := s.d.Create(t.Context(), spec, &xen.CreateOptions{Paused: true})
		require.NoError(t, err)
		first = s.sees(t, spec.UUID, xen.Paused)
		assert.Equal(t, first.ID, d.ID)
		assert.Equal(t, spec.Name, first.Name)
		assert.Equal(t, spec.Memory, first.Memory)
		assert.Equal(t, spec.VCPUs, first.VCPUs)
		assert.Empty(t, first.Reason)
	})
	s.run(t, "memory is taken", func(t *testing.T) {
		assert.LessOrEqual(t, s.free(t), before-spec.Memory)
	})
	s.run(t, "name taken", func(t *testing.T) {
		other := spec.Clone()
		other.UUID = uuid.New()
		_, err := s.d.Create(t.Context(), other, nil)
		refused(t, err, "create", fs.ErrExist)
		s.gone(t, other.UUID)
	})
	s.run(t, "UUID taken", func(t *testing.T) {
		other := spec.Clone()
		other.Name = "suite-other"
		_, err := s.d.Create(t.Context(), other, nil)
		refused(t, err, "create", fs.ErrExist)
		assert.Equal(t, spec.Name, s.sees(t, spec.UUID, xen.Paused).Name)
	})
	s.run(t, "pause twice", func(t *testing.T) {
		require.NoError(t, s.d.Pause(t.Context(), spec.UUID))
		s.sees(t, spec.UUID, xen.Paused)
	})
	s.run(t, "unpause", func(t *testing.T) {
		require.NoError(t, s.d.Unpause(t.Context(), spec.UUID))
		s.sees(t, spec.UUID, xen.Running)
	})
	s.run(t, "unpause twice", func(t *testing.T) {
		require.NoError(t, s.d.Unpause(t.Context(), spec.UUID))
		s.sees(t, spec.UUID, xen.Running)
	})
	s.run(t, "pause", func(t *testing.T) {
		require.NoError(t, s.d.Pause(t.Context(), spec.UUID))
		s.sees(t, spec.UUID, xen.Paused)
	})
	s.run(t, "rename", func(t *testing.T) {
		err := s.d.Rename(t.Context(), spec.UUID, "suite-renamed")
		if errors.Is(err, errors.ErrUnsupported) {
			s.lacks(t, "rename")
			assert.Equal(t, spec.Name, s.sees(t, spec.UUID, xen.Paused).Name)
			return
		}
		require.NoError(t, err)
		assert.Equal(t, "suite-renamed", s.sees(t, spec.UUID, xen.Paused).Name)
		require.NoError(t, s.d.Rename(t.Context(), spec.UUID, "suite-renamed"), "its own name")
		require.NoError(t, s.d.Rename(t.Context(), spec.UUID, spec.Name))
	})
	s.run(t, "rename to what is no name", func(t *testing.T) {
		for _, name := range []string{"", "7", "-x", "a b", "x--incoming", "../x"} {
			refused(t, s.d.Rename(t.Context(), spec.UUID, name), "rename", xen.ErrInvalid)
		}
		assert.Equal(t, spec.Name, s.sees(t, spec.UUID, xen.Paused).Name)
	})
	s.run(t, "shutdown of a paused guest", func(t *testing.T) {
		how, err := s.d.Shutdown(t.Context(), spec.UUID, nil)
		require.NoError(t, err)
		assert.Equal(t, xen.Destroyed, how)
		s.gone(t, spec.UUID)
	})
	s.run(t, "memory is back", func(t *testing.T) { assert.Equal(t, before, s.free(t)) })

	s.run(t, "shutdown is clean", func(t *testing.T) {
		d, err := s.d.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		assert.Greater(t, d.ID, first.ID, "a new domid")
		s.sees(t, spec.UUID, xen.Running)
		if s.Booted != nil {
			s.Booted(t, spec)
		}
		how, err := s.d.Shutdown(t.Context(), spec.UUID, &xen.ShutdownOptions{Grace: 2 * time.Minute})
		require.NoError(t, err)
		assert.Equal(t, xen.Clean, how)
		s.gone(t, spec.UUID)
	})
	s.run(t, "shutdown of a guest that ignores it", func(t *testing.T) {
		_, err := s.d.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		if s.Deaf != nil {
			s.Deaf(t, s.d, spec.UUID)
		}
		how, err := s.d.Shutdown(t.Context(), spec.UUID, &xen.ShutdownOptions{Grace: time.Second})
		require.NoError(t, err)
		assert.Equal(t, xen.Destroyed, how)
		s.gone(t, spec.UUID)
	})
}

// refusals holds one guest and tries what can not be beside it.
func (s *suite) refusals(t *testing.T) {
	holder, other := s.spec(t, "suite-holder"), s.spec(t, "suite-other")
	_, err := s.d.Create(t.Context(), holder, &xen.CreateOptions{Paused: true})
	require.NoError(t, err)
	free := s.free(t)

	for _, tc := range []struct {
		name   string
		change func(*xen.Spec)
		means  error
	}{
		{"busy disk", func(spec *xen.Spec) { spec.Disks[0].Path = holder.Disks[0].Path }, xen.ErrBusy},
		{"busy disk read-only", func(spec *xen.Spec) { spec.Disks[0] = holder.Disks[0]; spec.Disks[0].ReadOnly = true }, xen.ErrBusy},
		{"missing disk", func(spec *xen.Spec) { spec.Disks[0].Path += "-nope" }, xen.ErrInvalid},
		{"no memory", func(spec *xen.Spec) { spec.Memory = free + 64<<20 }, xen.ErrNoMemory},
	} {
		s.run(t, tc.name, func(t *testing.T) {
			spec := other.Clone()
			tc.change(&spec)
			_, err := s.d.Create(t.Context(), spec, nil)
			refused(t, err, "create", tc.means)
			s.gone(t, spec.UUID)
			assert.Equal(t, free, s.free(t), "nothing is left behind")
		})
	}
	s.run(t, "cancelled create", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), max(s.CreateTakes, time.Nanosecond))
		defer cancel()
		<-waitUnless(ctx, s.CreateTakes > 0)
		_, err := s.d.Create(ctx, other, nil)
		refused(t, err, "create", context.DeadlineExceeded)
		s.gone(t, other.UUID)
		assert.Equal(t, free, s.free(t), "nothing is left behind")
	})
	s.run(t, "rename to a taken name", func(t *testing.T) {
		_, err := s.d.Create(t.Context(), other, &xen.CreateOptions{Paused: true})
		require.NoError(t, err, "and what was refused before can be created")
		refused(t, s.d.Rename(t.Context(), other.UUID, holder.Name), "rename", fs.ErrExist)
		assert.Equal(t, other.Name, s.sees(t, other.UUID, xen.Paused).Name)
	})
	s.run(t, "destroy takes only its own", func(t *testing.T) {
		require.NoError(t, s.d.Destroy(t.Context(), other.UUID))
		s.gone(t, other.UUID)
		s.sees(t, holder.UUID, xen.Paused)
		require.NoError(t, s.d.Destroy(t.Context(), holder.UUID))
		s.gone(t, holder.UUID)
	})
}

// waitUnless returns a channel that is ready when ctx has ended, or at once.
func waitUnless(ctx context.Context, atOnce bool) <-chan struct{} {
	if !atOnce {
		return ctx.Done()
	}
	ready := make(chan struct{})
	close(ready)
	return ready
}

// nothing asks for a domain that is not there.
func (s *suite) nothing(t *testing.T) {
	id := uuid.MustParse("00000000-0000-4000-8000-000000000000")
	for _, verb := range []struct {
		name string
		call func(ctx context.Context) error
	}{
		{"lookup", func(ctx context.Context) error { _, err := s.d.Lookup(ctx, id); return err }},
		{"shutdown", func(ctx context.Context) error { _, err := s.d.Shutdown(ctx, id, nil); return err }},
		{"destroy", func(ctx context.Context) error { return s.d.Destroy(ctx, id) }},
		{"pause", func(ctx context.Context) error { return s.d.Pause(ctx, id) }},
		{"unpause", func(ctx context.Context) error { return s.d.Unpause(ctx, id) }},
		{"rename", func(ctx context.Context) error { return s.d.Rename(ctx, id, "suite-new") }},
	} {
		s.run(t, verb.name, func(t *testing.T) {
			refused(t, verb.call(t.Context()), verb.name, fs.ErrNotExist)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			refused(t, verb.call(ctx), verb.name, context.Canceled)
		})
	}
	s.run(t, "the zero UUID is not dom0", func(t *testing.T) {
		_, err := s.d.Lookup(t.Context(), uuid.Nil)
		refused(t, err, "lookup", fs.ErrNotExist)
		refused(t, s.d.Destroy(t.Context(), uuid.Nil), "destroy", fs.ErrNotExist)
		refused(t, s.d.Pause(t.Context(), uuid.Nil), "pause", fs.ErrNotExist)
	})
	s.run(t, "info", func(t *testing.T) {
		info, err := s.d.Info(t.Context())
		require.NoError(t, err)
		assert.NotEmpty(t, info.Hostname)
		assert.NotEmpty(t, info.XenVersion)
		assert.Contains(t, info.VirtCaps, "pv")
		assert.Positive(t, info.CPUs)
		assert.Greater(t, info.TotalMemory, info.FreeMemory)
		assert.Positive(t, info.FreeMemory)
	})
}
