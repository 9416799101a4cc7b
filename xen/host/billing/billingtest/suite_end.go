package billingtest

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/billing"
)

func (s *stage) usage() {
	id := billing.GuestOf("suite-1")
	rows, err := s.desk.Usage(s.Context(), s.now.Add(-time.Hour), *s.now)
	require.NoError(s, err)
	require.Len(s, rows, 1)
	assert.False(s, rows[0].Metered)
	s.used[id] = billing.Usage{Download: 3 << 30, Upload: 1 << 20, CPU: time.Minute}
	rows, err = s.desk.Usage(s.Context(), s.now.Add(-time.Hour), *s.now)
	require.NoError(s, err)
	g := s.status().Guest
	assert.Equal(s, []billing.Row{{
		Ref: ref(1), Guest: id, Name: g.Name, Memory: g.Memory, Disk: g.Disks[0].Size + g.Disks[1].Size, Usage: s.used[id], Metered: true,
	}}, rows)
}

func (s *stage) identity() {
	ctx := s.Context()
	other := billing.Ref{Order: "suite-1", Customer: "bob"}
	_, planned := s.desk.ChangePlan(ctx, other, host.Plan{VCPUs: 1}, nil)
	_, ended := s.desk.Terminate(ctx, other, billing.Termination{Name: s.Guest.Name})
	_, named := s.desk.Terminate(ctx, ref(1), billing.Termination{Name: "else"})
	for verb, err := range map[string]error{
		"suspend": s.desk.Suspend(ctx, other, ""), "unsuspend": s.desk.Unsuspend(ctx, other), "revive": s.desk.Revive(ctx, other),
		"reinstall": s.desk.Reinstall(ctx, other, billing.Reinstallation{Job: "1"}), "plan": planned, "terminate": ended, "terminate, name": named,
	} {
		require.ErrorIs(s, err, billing.ErrIdentity, verb)
	}
	require.ErrorIs(s, s.desk.Suspend(ctx, billing.Ref{Order: "suite-9", Customer: "anna"}, ""), fs.ErrNotExist)
	require.ErrorIs(s, s.desk.Suspend(ctx, billing.Ref{Order: "../x", Customer: "anna"}, ""), billing.ErrInvalid)
	s.runs()
}

func (s *stage) grace() {
	ctx := s.Context()
	end, err := s.desk.Terminate(ctx, ref(1), billing.Termination{Name: s.Guest.Name, Grace: 72 * time.Hour})
	require.NoError(s, err)
	assert.False(s, end.Done)
	assert.Nil(s, s.status().Domain)
	*s.now = s.now.Add(time.Hour)
	again, err := s.desk.Terminate(ctx, ref(1), billing.Termination{Name: s.Guest.Name, Grace: 72 * time.Hour})
	require.NoError(s, err)
	assert.Equal(s, end, again, "the grace is not prolonged")
	require.ErrorIs(s, s.desk.Unsuspend(ctx, ref(1)), billing.ErrTerminated)
	done, err := s.desk.Sweep(ctx)
	require.NoError(s, err)
	assert.Empty(s, done)
	for range 2 {
		require.NoError(s, s.desk.Revive(ctx, ref(1)))
		s.runs()
	}
	_, err = s.desk.Terminate(ctx, ref(1), billing.Termination{Name: s.Guest.Name, Grace: time.Hour})
	require.NoError(s, err)
	*s.now = s.now.Add(time.Hour + time.Second)
	done, err = s.desk.Sweep(ctx)
	require.NoError(s, err)
	assert.Equal(s, []billing.Ref{ref(1)}, done)
}

func (s *stage) terminated() {
	ctx := s.Context()
	for range 2 {
		end, err := s.desk.Terminate(ctx, ref(1), billing.Termination{Name: s.Guest.Name})
		require.NoError(s, err)
		assert.True(s, end.Done)
	}
	_, err := s.desk.Provision(ctx, s.order(1, "first"))
	require.ErrorIs(s, err, billing.ErrTerminated, "a late repetition makes nothing")
	_, err = s.desk.Terminate(ctx, billing.Ref{Order: "suite-1", Customer: "bob"}, billing.Termination{Name: s.Guest.Name})
	require.ErrorIs(s, err, billing.ErrIdentity)
	require.ErrorIs(s, s.desk.Revive(ctx, ref(1)), billing.ErrTerminated)
}

// next gives the room to another customer.
func (s *stage) next() {
	g, err := s.desk.Provision(s.Context(), s.order(2, ""))
	require.NoError(s, err)
	require.NoError(s, s.desk.Suspend(s.Context(), ref(2), "to look at its disk"))
	if s.Up == nil {
		all := s.head(g.Disks[0].Volume, int(g.Disks[0].Size))
		assert.Zero(s, len(bytes.TrimLeft(all, "\x00")), "it reads zeros")
	} else {
		assert.NotContains(s, string(s.head(g.Disks[0].Volume, int(g.Disks[0].Size))), "second")
	}
	end, err := s.desk.Terminate(s.Context(), ref(2), billing.Termination{Name: s.Guest.Name})
	require.NoError(s, err)
	assert.True(s, end.Done)
}

func (s *stage) nothing() {
	ctx := s.Context()
	guests, err := s.host.Guests(ctx)
	require.NoError(s, err)
	assert.Empty(s, guests)
	for n := 1; n <= 2; n++ {
		_, err := s.host.Domains().Lookup(ctx, billing.GuestOf(ref(n).Order))
		assert.True(s, errors.Is(err, fs.ErrNotExist))
	}
	volumes, err := s.host.Volumes().Volumes(ctx, s.Guest.Disks[0].Volume.Group)
	require.NoError(s, err)
	for _, v := range volumes {
		assert.NotContains(s, v.Name, s.Guest.Disks[0].Volume.Name)
	}
	for _, pattern := range []string{"guests/*.json", "claims/*.claim"} {
		left, err := filepath.Glob(filepath.Join(s.StateDir, pattern))
		require.NoError(s, err)
		assert.Empty(s, left)
	}
	left, err := s.host.Capacity(ctx)
	require.NoError(s, err)
	assert.Empty(s, left.Guests)
}
