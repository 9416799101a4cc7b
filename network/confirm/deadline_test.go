package confirm_test

import (
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network/confirm"
)

// The window is over while the change is being made, at whichever point: it is
// taken back by the caller or by a keeper, and not by halves.
func TestWindowTooShort(t *testing.T) {
	o := newOffice(t)
	for ms := 40; ms <= 360; ms += 80 {
		c := confirm.New(o.target, options(o.dom0.Name, o.dir, time.Duration(ms)*time.Millisecond))
		_, err := c.Apply(t.Context(), cut())
		t.Logf("%d ms: %v", ms, err)
		require.Eventually(t, func() bool { _, err := c.Pending(); return err != nil }, 10*time.Second, 5*time.Millisecond)
		_, err = c.Pending()
		require.ErrorIs(t, err, fs.ErrNotExist)
		o.isBase(t)
		require.False(t, t.Failed())
	}
}
