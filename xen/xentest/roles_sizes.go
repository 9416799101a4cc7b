package xentest

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// sizes changes the memory, the vCPUs and the shares of a guest, and reboots it
// into another configuration.
func (s *suite) sizes(t *testing.T) {
	spec := s.spec(t, "suite-sizes")
	spec.VCPUs, spec.MaxVCPUs = 2, 2
	first := s.start(t, spec)
	now := spec.Clone() // what it is made of by now

	s.memory(t, &now)
	s.vcpus(t, &now)
	s.share(t, &now)
	s.reboot(t, &now, first)
}

func (s *suite) memory(t *testing.T, now *xen.Spec) {
	d, id := role[xen.Resizer](t, s), now.UUID
	s.run(t, "memory", func(t *testing.T) {
		less := now.Memory - 16<<20
		require.NoError(t, d.SetMemory(t.Context(), id, less))
		assert.Equal(t, less, s.sees(t, id, xen.Running).Memory)
		full := *now
		full.MaxMemory, full.Memory = now.Memory, less
		s.is(t, full)
		require.NoError(t, d.SetMemory(t.Context(), id, now.Memory))
		assert.Equal(t, now.Memory, s.sees(t, id, xen.Running).Memory)
	})
	s.run(t, "too much memory", func(t *testing.T) {
		for _, bytes := range []int64{now.Memory + 1<<20, now.Memory - 1, 16 << 20, -1 << 20, 0, 2 << 40} {
			refused(t, d.SetMemory(t.Context(), id, bytes), "set memory", xen.ErrInvalid)
		}
		assert.Equal(t, now.Memory, s.sees(t, id, xen.Running).Memory)
	})
	s.run(t, "memory of a paused guest", func(t *testing.T) {
		require.NoError(t, s.d.Pause(t.Context(), id))
		refused(t, d.SetMemory(t.Context(), id, now.Memory-1<<20), "set memory", xen.ErrBusy)
		require.NoError(t, s.d.Unpause(t.Context(), id))
		s.is(t, *now)
	})
}

func (s *suite) vcpus(t *testing.T, now *xen.Spec) {
	d, of, id := role[xen.Resizer](t, s), role[xen.Scheduler](t, s), now.UUID
	online := func(t *testing.T) (n int) {
		vcpus, err := of.VCPUs(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, vcpus, now.MaxVCPUs)
		for i, v := range vcpus {
			assert.Equal(t, i, v.Number)
			if v.Online {
				n++
			}
		}
		return n
	}
	s.run(t, "too many vcpus", func(t *testing.T) {
		for _, n := range []int{-1, 0, 3, 1 << 20} {
			refused(t, d.SetVCPUs(t.Context(), id, n), "set vcpus", xen.ErrInvalid)
		}
		assert.Equal(t, 2, online(t))
	})
	s.run(t, "vcpus", func(t *testing.T) {
		require.NoError(t, d.SetVCPUs(t.Context(), id, 2), "as it is")
		require.NoError(t, d.SetVCPUs(t.Context(), id, 1))
		assert.Equal(t, 1, online(t))
		now.VCPUs = 1
		s.is(t, *now)
	})
	s.run(t, "pins", func(t *testing.T) {
		info, err := s.d.Info(t.Context())
		require.NoError(t, err)
		require.NoError(t, of.Pin(t.Context(), id, 0, xen.CPUSet{0}, nil))
		vcpus, err := of.VCPUs(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, xen.CPUSet{0}, vcpus[0].Hard.On(info.CPUs))
		assert.Equal(t, xen.CPUSet(nil).On(info.CPUs), vcpus[1].Hard.On(info.CPUs))
		refused(t, of.Pin(t.Context(), id, 0, xen.CPUSet{info.CPUs}, nil), "pin", xen.ErrInvalid)
		refused(t, of.Pin(t.Context(), id, 0, xen.CPUSet{}, nil), "pin", xen.ErrInvalid)
		refused(t, of.Pin(t.Context(), id, 0, nil, xen.CPUSet{-1}), "pin", xen.ErrInvalid)
		refused(t, of.Pin(t.Context(), id, 9, nil, nil), "pin", xen.ErrInvalid)
		refused(t, of.Pin(t.Context(), id, -1, nil, nil), "pin", xen.ErrInvalid)
	})
}

func (s *suite) share(t *testing.T, now *xen.Spec) {
	d, id := role[xen.Scheduler](t, s), now.UUID
	is := func(t *testing.T, want xen.Share) {
		got, err := d.Share(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	s.run(t, "share", func(t *testing.T) {
		is(t, xen.Share{Weight: xen.DefaultWeight})
		want := xen.Share{Weight: 512, Cap: 50}
		require.NoError(t, d.SetShare(t.Context(), id, want))
		is(t, want)
		now.Weight, now.Cap = want.Weight, want.Cap
		s.is(t, *now)
		for _, bad := range []xen.Share{{}, {Weight: 65536}, {Weight: -1}, {Weight: 1, Cap: 201}, {Weight: 1, Cap: -1}} {
			refused(t, d.SetShare(t.Context(), id, bad), "set share", xen.ErrInvalid)
		}
		is(t, want)
		now.Cap = 0
		require.NoError(t, d.SetShare(t.Context(), id, xen.Share{Weight: 512}))
		is(t, xen.Share{Weight: 512})
	})
}

func (s *suite) reboot(t *testing.T, now *xen.Spec, first xen.Domain) {
	d, of := role[xen.Rebooter](t, s), role[xen.Configurer](t, s)
	s.run(t, "reboot", func(t *testing.T) {
		before := s.boots(t, *now)
		again, err := d.Reboot(t.Context(), now.UUID, nil)
		require.NoError(t, err)
		assert.Greater(t, again.ID, first.ID)
		assert.Equal(t, again.ID, s.sees(t, now.UUID, xen.Running).ID)
		s.up(t, *now)
		if s.Boots != nil {
			assert.Equal(t, before+1, s.boots(t, *now))
		}
		s.is(t, *now)
		first = again
	})
	s.run(t, "reboot into another configuration", func(t *testing.T) {
		next := now.Clone()
		next.MaxVCPUs, next.Weight, next.OnReboot = 1, 128, "destroy"
		if err := of.UpdateConfig(t.Context(), next); errors.Is(err, errors.ErrUnsupported) {
			s.lacks(t, "update config")
			s.is(t, *now)
			return
		} else {
			require.NoError(t, err)
		}
		s.is(t, *now)
		again, err := d.Reboot(t.Context(), now.UUID, nil)
		require.NoError(t, err)
		assert.Greater(t, again.ID, first.ID)
		*now = next
		s.is(t, *now)
	})
	s.run(t, "what would not come back", func(t *testing.T) {
		if now.OnReboot != "destroy" {
			s.lacks(t, "update config")
			return
		}
		_, err := d.Reboot(t.Context(), now.UUID, nil)
		refused(t, err, "reboot", xen.ErrInvalid)
		s.sees(t, now.UUID, xen.Running)
	})
	s.run(t, "configuration that is none", func(t *testing.T) {
		next := now.Clone()
		next.Memory = 1
		refused(t, of.UpdateConfig(t.Context(), next), "update config", xen.ErrInvalid)
		next = now.Clone()
		next.Name = "suite-renamed"
		refused(t, of.UpdateConfig(t.Context(), next), "update config", xen.ErrInvalid)
	})
}
