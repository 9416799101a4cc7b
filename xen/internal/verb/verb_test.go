package verb

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

func verbs() *Verbs { return &Verbs{Poll: time.Millisecond, Log: slog.New(slog.DiscardHandler)} }

func TestOnWrapsAndWaits(t *testing.T) {
	v, id, broken := verbs(), uuid.New(), errors.New("broken")
	err := v.On(t.Context(), "pause", "web1", id, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, v.On(ctx, "pause", "web1", id, func() error { return nil }), context.DeadlineExceeded, "it is held")
		require.NoError(t, v.On(t.Context(), "pause", "web2", uuid.New(), func() error { return nil }), "another is not")
		return broken
	})
	require.ErrorIs(t, err, broken)
	require.EqualError(t, err, "xen: pause web1: broken")
	require.NoError(t, Wrap("pause", "web1", nil))
}

func TestAnswered(t *testing.T) {
	v := verbs()
	require.ErrorIs(t, v.Answered(t.Context(), 5*time.Millisecond, func() (bool, error) { return false, nil }), xen.ErrNoAnswer)
	require.ErrorIs(t, v.Answered(t.Context(), time.Minute, func() (bool, error) { return false, fs.ErrNotExist }), fs.ErrNotExist)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	err := v.Answered(ctx, time.Minute, func() (bool, error) { return false, nil })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, xen.ErrNoAnswer, "the caller gave up, not we")
	limit := func() (bool, error) { return false, context.DeadlineExceeded } // of a single look
	require.NotErrorIs(t, v.Answered(t.Context(), time.Minute, limit), xen.ErrNoAnswer)
}

func TestPutAway(t *testing.T) {
	end := func(context.Context, xen.Domain) error { return nil }
	for guest, want := range map[xen.Domain]xen.Ending{
		{State: xen.Stopped, Reason: xen.Poweroff}: xen.Clean,
		{State: xen.Stopped, Reason: xen.Reboot}:   xen.Destroyed,
		{State: xen.Crashed, Reason: xen.Crash}:    xen.Destroyed,
		{State: xen.Running}:                       xen.Destroyed,
	} {
		how, err := PutAway(t.Context(), guest, end)
		require.NoError(t, err)
		assert.Equal(t, want, how, guest)
	}
	how, err := PutAway(t.Context(), xen.Domain{}, func(context.Context, xen.Domain) error { return fs.ErrPermission })
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.Empty(t, how)
}

// Each way in which a guest can fail to come back has its own word.
func TestReturned(t *testing.T) {
	was := xen.Domain{ID: 7, State: xen.Running}
	for name, tc := range map[string]struct {
		now   xen.Domain
		err   error
		means error
	}{
		"back":         {now: xen.Domain{ID: 8, State: xen.Running}},
		"did not hear": {now: was, means: xen.ErrNoAnswer},
		"not started":  {err: fs.ErrNotExist, means: fs.ErrNotExist},
		"stays down":   {now: xen.Domain{ID: 7, State: xen.Stopped, Reason: xen.Reboot}, means: xen.ErrBusy},
		"look fails":   {err: fs.ErrPermission, means: fs.ErrPermission},
	} {
		got, err := verbs().Returned(t.Context(), was, time.Now().Add(20*time.Millisecond), func(context.Context, uuid.UUID) (xen.Domain, error) { return tc.now, tc.err })
		if tc.means != nil {
			require.ErrorIs(t, err, tc.means, name)
			continue
		}
		require.NoError(t, err, name)
		assert.Equal(t, tc.now, got)
	}
}

func TestWhatIsRefused(t *testing.T) {
	for _, bytes := range []int64{0, -1 << 20, 16 << 20, 64<<20 + 1, 129 << 20} {
		require.ErrorIs(t, Memory(bytes, 128<<20), xen.ErrInvalid)
	}
	require.NoError(t, Memory(128<<20, 128<<20))
	require.ErrorIs(t, InRange("vcpu", 0, 0, -1), xen.ErrInvalid)
	require.NoError(t, InRange("vcpu", 0, 0, 0))
	_, err := SaveThen(&xen.SaveOptions{Then: xen.Dying})
	require.ErrorIs(t, err, xen.ErrInvalid)
	then, err := SaveThen(nil)
	require.NoError(t, err)
	assert.Empty(t, then)
	now := xen.Spec{Disks: []xen.Disk{{Dev: "xvda", Path: "/dev/a"}, {Dev: "xvdb", Path: "/dev/b", ReadOnly: true}}}
	require.ErrorIs(t, Free(now, xen.Disk{Dev: "xvda", Path: "/dev/c"}), fs.ErrExist)
	require.ErrorIs(t, Free(now, xen.Disk{Dev: "xvdc", Path: "/dev/a", ReadOnly: true}), xen.ErrBusy)
	require.NoError(t, Free(now, xen.Disk{Dev: "xvdc", Path: "/dev/b", ReadOnly: true}))
	require.ErrorIs(t, Rebootable(xen.Domain{State: xen.Paused}, "restart"), xen.ErrBusy)
	require.ErrorIs(t, Rebootable(xen.Domain{State: xen.Running}, "preserve"), xen.ErrInvalid)
	assert.True(t, SameDevice("/dev/null", "/dev/null"))
	assert.False(t, SameDevice("/dev/null", "/dev/zero"))
}
