package clone_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/clone"
)

func TestPromote(t *testing.T) {
	thinAndThick(t, func(t *testing.T, thin bool) {
		var c clone.Clone
		w := promoting(thin, &c)(t)
		p, err := clone.Promote(t.Context(), w.Host, c.UUID)
		require.NoError(t, err)
		assert.True(t, p.Started)
		assert.Equal(t, w.rollbacks(), p.Rollback)
		w.whole(t)
		w.holds(t, tried, w.disks()...)
		w.holds(t, after, w.rollbacks()...)
		spec, err := w.domains.Spec(w.web1.UUID)
		require.NoError(t, err)
		assert.Equal(t, w.web1.Nics[0].MAC, spec.Vifs[0].MAC)
		assert.Equal(t, "xenint", spec.Vifs[0].Bridge)

		again := w.make(t, nil)
		_, err = clone.Promote(t.Context(), w.Host, again.UUID)
		require.ErrorIs(t, err, fs.ErrExist, "rollback volumes of an earlier one")
		require.NoError(t, w.ForgetRollback(t.Context(), w.web1.UUID))
		_, err = clone.Promote(t.Context(), w.Host, again.UUID)
		require.NoError(t, err)
		require.NoError(t, w.Terminate(t.Context(), w.web1.UUID), "with its rollback volumes")
		all, err := w.volumes.Volumes(t.Context(), "guests")
		require.NoError(t, err)
		for _, v := range all {
			assert.Equal(t, "pool", v.Name)
		}
	})
}

func TestPromoteOfAGuestThatIsOff(t *testing.T) {
	var c clone.Clone
	w := promoting(false, &c)(t)
	_, err := w.Stop(t.Context(), w.web1.UUID)
	require.NoError(t, err)
	p, err := clone.Promote(t.Context(), w.Host, c.UUID)
	require.NoError(t, err)
	assert.False(t, p.Started)
	w.holds(t, tried, w.disks()...)
	_, err = w.domains.Lookup(t.Context(), w.web1.UUID)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// TestPromoteFails: before the first merge all goes back, and the guest runs.
func TestPromoteFails(t *testing.T) {
	for _, op := range []string{"snapshot", "merge"} {
		var c clone.Clone
		w := promoting(false, &c)(t)
		w.volumes.Fail(op, errors.New("no"))
		_, err := clone.Promote(t.Context(), w.Host, c.UUID)
		require.Error(t, err, op)
		w.whole(t)
		w.holds(t, after, w.disks()...)
		for _, id := range w.rollbacks() {
			_, err := w.volumes.Volume(t.Context(), id)
			require.ErrorIs(t, err, fs.ErrNotExist, op)
		}
		_, err = clone.Promote(t.Context(), w.Host, c.UUID)
		require.NoError(t, err, op)
		w.holds(t, tried, w.disks()...)
	}
}

func TestGrownGuest(t *testing.T) {
	var c clone.Clone
	w := promoting(true, &c)(t)
	_, err := w.volumes.Grow(t.Context(), w.disks()[1], 2*diskSize)
	require.NoError(t, err)
	_, err = clone.Promote(t.Context(), w.Host, c.UUID)
	require.ErrorIs(t, err, lvm.ErrInvalid)
	w.whole(t)
}
