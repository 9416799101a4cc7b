package accounting

import (
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	web1 = uuid.UUID{1}
	db1  = uuid.UUID{2}
	noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
)

// at is a reading so many seconds after noon, in a boot that began at noon.
func at(boot string, seconds int, samples ...Sample) Reading {
	d := time.Duration(seconds) * time.Second
	return Reading{Source: "test", Boot: boot, Uptime: d, Time: noon.Add(d), Samples: samples}
}

func count(guest uuid.UUID, epoch string, value uint64) Sample {
	return Sample{Guest: guest, Key: Key{"0", ExternalIn4}, Epoch: epoch, Value: value}
}

// ledger is the least that a store does.
type ledger struct {
	state State
	rows  map[uuid.UUID]map[time.Time]Row
}

func (l *ledger) fold(t testing.TB, r Reading) []Row {
	c, err := Fold(l.state, r, FoldOptions{})
	require.NoError(t, err)
	l.take(c)
	return c.Rows
}

func (l *ledger) take(c Change) {
	guests := l.state.Guests
	if guests == nil {
		guests, l.rows = map[uuid.UUID]Cursors{}, map[uuid.UUID]map[time.Time]Row{}
	}
	for g, cursors := range c.State.Guests {
		guests[g] = cursors
	}
	l.state = c.State
	l.state.Guests = guests
	for _, r := range c.Rows {
		if l.rows[r.Guest] == nil {
			l.rows[r.Guest] = map[time.Time]Row{}
		}
		have := l.rows[r.Guest][r.Start]
		r.Usage.Add(have.Usage)
		r.Flags |= have.Flags
		l.rows[r.Guest][r.Start] = r
	}
}

func TestFold(t *testing.T) {
	var l ledger
	assert.Empty(t, l.fold(t, at("a", 60, count(web1, "e1", 1000))), "what was before the first reading is nobody's")
	rows := l.fold(t, at("a", 120, count(web1, "e1", 1500)))
	require.Len(t, rows, 1)
	assert.Equal(t, Row{Guest: web1, Start: noon, Usage: Usage{ExternalIn4: 500}}, rows[0])

	rows = l.fold(t, at("a", 180, count(web1, "e1", 100)))
	assert.Equal(t, int64(100), rows[0].Usage[ExternalIn4])
	assert.Equal(t, Reset, rows[0].Flags, "at least what it shows")

	rows = l.fold(t, at("a", 240, count(web1, "e2", 5000), count(db1, "d1", 7)))
	require.Len(t, rows, 2)
	for _, r := range rows {
		assert.Equal(t, New, r.Flags)
		assert.Equal(t, map[uuid.UUID]int64{web1: 5000, db1: 7}[r.Guest], r.Usage[ExternalIn4], "a new object counted all of it since the last reading")
	}

	rows = l.fold(t, at("a", 300, count(web1, "e2", 5000)))
	require.Len(t, rows, 2)
	for _, r := range rows {
		assert.Zero(t, r.Usage)
		assert.Equal(t, map[uuid.UUID]Flags{web1: 0, db1: Ended}[r.Guest], r.Flags)
	}
	rows = l.fold(t, at("a", 360, count(web1, "e2", 5000), count(db1, "d1", 17)))
	require.Len(t, rows, 2)
	assert.Equal(t, int64(17), l.rows[db1][noon].Usage[ExternalIn4]+l.rows[db1][noon.Add(SlotLength)].Usage[ExternalIn4], "one that comes back goes on where it was")
}

func TestFoldBoot(t *testing.T) {
	var l ledger
	l.fold(t, at("a", 3600, count(web1, "a-1", 1000)))
	r := at("b", 600, count(web1, "b-1", 300)) // 12:10 by its uptime, but the clock says 13:10
	r.Time = noon.Add(70 * time.Minute)
	rows := l.fold(t, r)
	require.Len(t, rows, 2)
	assert.Equal(t, noon.Add(time.Hour), rows[0].Start, "none before the boot")
	assert.Equal(t, int64(300), rows[0].Usage[ExternalIn4]+rows[1].Usage[ExternalIn4])
	assert.Equal(t, New|Gap, rows[0].Flags)

	r = at("c", 60, count(web1, "c-1", 30)) // a clock that is a year behind
	r.Time = noon.AddDate(-1, 0, 0)
	rows = l.fold(t, r)
	require.Len(t, rows, 1)
	assert.Equal(t, New|Step, rows[0].Flags)
	assert.Equal(t, int64(30), rows[0].Usage[ExternalIn4])
}

func TestFoldClock(t *testing.T) {
	var l ledger
	l.fold(t, at("a", 60, count(web1, "e", 0)))
	r := at("a", 120, count(web1, "e", 60))
	r.Time = r.Time.Add(-time.Hour)
	rows := l.fold(t, r)
	require.Len(t, rows, 1)
	assert.Equal(t, Step, rows[0].Flags)
	assert.Equal(t, noon.Add(-time.Hour), rows[0].Start, "labels follow the corrected clock")

	_, err := Fold(l.state, r, FoldOptions{})
	require.ErrorIs(t, err, ErrStale)

	r = at("a", 120+1800, count(web1, "e", 60+600))
	r.Time = r.Time.Add(-time.Hour)
	rows = l.fold(t, r)
	require.Len(t, rows, 7, "from the middle of a slot to the middle of another")
	sum := int64(0)
	for i, r := range rows {
		sum += r.Usage[ExternalIn4]
		assert.Equal(t, Gap, r.Flags)
		if i > 0 && i < 6 {
			assert.Equal(t, int64(100), r.Usage[ExternalIn4], "spread evenly")
		}
	}
	assert.Equal(t, int64(600), sum)
}

func TestFoldGauge(t *testing.T) {
	gauge := func(m Metric, epoch string, v uint64) Sample {
		return Sample{Guest: web1, Key: Key{"", m}, Epoch: epoch, Value: v}
	}
	var l ledger
	l.fold(t, at("a", 60, gauge(Memory, "a-1", 1024), gauge(Disk, "xvda", 100)))
	rows := l.fold(t, at("a", 120, gauge(Memory, "a-1", 2048), gauge(Disk, "xvda", 100)))
	assert.Equal(t, Usage{Memory: 1024 * 60, Disk: 6000}, rows[0].Usage, "what there was until now")
	rows = l.fold(t, at("a", 180, gauge(Disk, "xvda", 100)))
	assert.Equal(t, Usage{Disk: 6000}, rows[0].Usage)
	rows = l.fold(t, at("a", 240, gauge(Memory, "a-1", 2048), gauge(Disk, "xvda", 100)))
	assert.Equal(t, Usage{Disk: 6000}, rows[0].Usage, "it was away in between")

	r := at("b", 30, gauge(Memory, "b-1", 2048), gauge(Disk, "xvda", 100))
	r.Time = noon.Add(540 * time.Second)
	rows = l.fold(t, r)
	require.Len(t, rows, 2)
	assert.Equal(t, int64(30_000), rows[0].Usage[Disk]+rows[1].Usage[Disk], "a volume is there while its host is down")
	assert.Zero(t, rows[0].Usage[Memory]+rows[1].Usage[Memory])

	r = at("b", 90, gauge(Disk, "xvda", maxValue))
	r.Time = noon.Add(600 * time.Second)
	l.fold(t, r)
	r = at("b", 150, gauge(Disk, "xvda", 1))
	r.Time = noon.Add(660 * time.Second)
	rows = l.fold(t, r)
	assert.Equal(t, int64(maxValue), rows[0].Usage[Disk], "no overflow")
}

func TestFoldRefuses(t *testing.T) {
	for _, r := range []Reading{
		{},
		at("", 60),
		at("a", 0),
		at("a", 60, Sample{Key: Key{"", NumMetrics}, Epoch: "e"}),
		at("a", 60, count(web1, "", 1)),
		at("a", 60, count(web1, "e", math.MaxUint64)),
		at("a", 60, count(web1, "e", 1), count(web1, "e", 2)),
	} {
		_, err := Fold(State{}, r, FoldOptions{})
		assert.ErrorIs(t, err, ErrInvalid, "%+v", r)
	}
}

func TestFoldMarks(t *testing.T) {
	var l ledger
	l.fold(t, at("a", 60, count(web1, "e", 0)))
	r := at("a", 61, count(web1, "e", 9))
	r.Marks = map[uuid.UUID]Flags{web1: Left}
	rows := l.fold(t, r)
	assert.Equal(t, Left, rows[0].Flags)
	assert.Equal(t, "new,left", (New | Left).String())
}

func TestSpread(t *testing.T) {
	over := slots(noon.Add(7*time.Second), 907*time.Second) // 300, 300, 300, 7
	require.Len(t, over, 4)
	assert.Equal(t, []int64{1, 1, 1, 0}, spread(3, over))
	assert.Equal(t, []int64{300, 300, 300, 7}, spread(907, over))
	assert.Equal(t, []int64{1, 0, 0, 0}, spread(1, over))
	assert.Equal(t, int64(-300), SlotOf(time.Unix(-1, 0)).Unix())
	assert.Equal(t, int64(0), SlotOf(time.Unix(299, 999)).Unix())
}
