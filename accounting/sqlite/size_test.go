package sqlite_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/accountingtest"
)

// TestSize measures what a guest's day takes on the disk, with a busy guest's
// numbers in every metric that a host reads, and reckons a month of a thousand.
func TestSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := open(t, path)
	const guests, days = 10, 3
	rnd := rand.New(rand.NewPCG(1, 2))
	busy := []struct {
		metric accounting.Metric
		most   int64 // in a slot
	}{
		{accounting.InternalIn4, 1e8}, {accounting.InternalOut4, 1e8}, {accounting.PeerIn4, 1e9}, {accounting.PeerOut4, 1e9},
		{accounting.ExternalIn4, 1e10}, {accounting.ExternalOut4, 1e10}, {accounting.ExternalIn6, 1e9}, {accounting.ExternalOut6, 1e9},
		{accounting.WireIn, 1e10}, {accounting.WireOut, 1e10}, {accounting.CPU, 300e9},
		{accounting.DiskReadOps, 1e5}, {accounting.DiskReadBytes, 1e10}, {accounting.DiskWriteOps, 1e5}, {accounting.DiskWriteBytes, 1e10},
		{accounting.Memory, 2e9}, {accounting.Disk, 3e10}, {accounting.Running, 300_000},
	}
	seq := uint64(0)
	for g := range guests {
		for d := range days {
			p := accounting.Parcel{Host: "curacao", Seq: seq + 1}
			seq++
			for i := range 288 {
				r := accounting.Row{Guest: uuid.UUID{0: 1, 15: byte(g)}, Start: fedFrom.AddDate(0, 0, d).Add(time.Duration(i) * accounting.SlotLength)}
				for _, b := range busy {
					r.Usage[b.metric] = rnd.Int64N(b.most)
				}
				p.Rows = append(p.Rows, r)
			}
			_, err := s.Push(t.Context(), p)
			require.NoError(t, err)
		}
	}
	require.Len(t, accountingtest.Rows(t, s, accounting.Query{All: true, From: fedFrom, To: fedFrom.AddDate(1, 0, 0)}), guests*days*288)
	require.NoError(t, s.Close())
	info, err := os.Stat(path)
	require.NoError(t, err)
	slot := float64(info.Size()) / (guests * days * 288)
	month := slot * 1000 * 31 * 288
	assert.Less(t, month, 1.5e9)
	t.Logf("RESULT %.0f bytes a slot with %d metrics; 1,000 busy guests for a month of 31 days: %.2f GB", slot, len(busy), month/1e9)
}
