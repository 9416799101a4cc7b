package migrate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen"
)

// TestLiveMove: there and back, near and far, with its memory and without a
// boot.
func TestLiveMove(t *testing.T) {
	for _, mover := range []string{"curacao", "islay"} {
		for _, typ := range []xen.Type{xen.PVH, xen.PV} {
			t.Run(string(typ)+" by "+mover, func(t *testing.T) {
				w := newWorldOf(t, typ)
				w.mode = migrate.Live
				report, err := w.move(t.Context(), mover, &migrate.Options{VerifyFull: true})
				require.NoError(t, err)
				assert.Equal(t, handover.Forward, report.Way)
				assert.Positive(t, report.Downtime)
				assert.Positive(t, report.Memory.Bytes)
				assert.False(t, report.Lost)
				assert.NotEmpty(t, report.Sums["xvda"])
				assert.Equal(t, "islay", w.lives("after the move"))

				w.from, w.to = "islay", "curacao"
				report, err = w.move(t.Context(), mover, nil)
				require.NoError(t, err)
				assert.Equal(t, "curacao", w.lives("after the way back"))
				t.Logf("%+v", report)
			})
		}
	}
}
