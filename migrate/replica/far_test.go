package replica_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/replica"
)

// TestFar: a third host, as a panel's, tells the keeper to promote, and is
// refused what the keeper itself refuses.
func TestFar(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, "curacao", "islay", "texel")
	w.copied(nil)
	health, err := replica.Check(t.Context(), w.Host("curacao"), replica.At(w.Host("islay"), "curacao"), nil, time.Hour)
	require.NoError(t, err)
	require.Len(t, health, 1)
	text, err := json.Marshal(health[0])
	require.NoError(t, err)
	assert.Contains(t, string(text), `"state":"fresh"`)

	w.PowerOff("curacao")
	islay, err := w.Dial(t.Context(), "texel", "islay")
	require.NoError(t, err)
	defer islay.Close()
	_, err = islay.Promote(t.Context(), w.guest.UUID, replica.Proof{}, nil)
	require.ErrorIs(t, err, replica.ErrUnproven)
	p, err := islay.Promote(t.Context(), w.guest.UUID, off("curacao"), nil)
	require.NoError(t, err)
	assert.EqualValues(t, 2, p.Epoch)
	assert.Equal(t, "islay", w.Where(t.Context(), w.guest.UUID))
	require.NoError(t, w.Settled(t.Context(), w.guest.UUID))
}
