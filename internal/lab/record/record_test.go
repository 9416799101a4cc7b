package record_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/internal/lab/record"
)

// disk is a disk in memory.
type disk struct{ b []byte }

func newDisk(slots int) *disk { return &disk{b: make([]byte, slots*record.SlotSize)} }

func (d *disk) size() int64 { return int64(len(d.b)) }
func (d *disk) Sync() error { return nil }
func (d *disk) ReadAt(p []byte, at int64) (int, error) {
	n := copy(p, d.b[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
func (d *disk) WriteAt(p []byte, at int64) (int, error) { return copy(d.b[at:], p), nil }

func (d *disk) clone() *disk { return &disk{b: append([]byte(nil), d.b...)} }

func formatted(t require.TestingT, slots int) *disk {
	d := newDisk(slots)
	require.NoError(t, record.Format(d, d.size(), record.ID{1, 2, 3}))
	return d
}

func appendN(t require.TestingT, d *disk, n int) uint64 {
	log, err := record.Open(d, d.size())
	require.NoError(t, err)
	for i := range n {
		_, err := log.Append(int64(i))
		require.NoError(t, err)
	}
	return log.Last()
}

func TestSlotsArePermutation(t *testing.T) {
	for _, slots := range []uint64{4, 5, 6, 17, 100, 4096, 8192, 16384} {
		seen := make(map[uint64]bool)
		for n := uint64(1); n < slots; n++ {
			s := record.Slot(n, slots)
			require.True(t, s >= 1 && s < slots && !seen[s], "slots %d record %d slot %d", slots, n, s)
			seen[s] = true
			require.Equal(t, s, record.Slot(n+slots-1, slots), "it repeats")
		}
	}
	for n := uint64(2); n < 20; n++ {
		apart := int64(record.Slot(n, 8192)) - int64(record.Slot(1, 8192))
		assert.Greater(t, max(apart, -apart), int64(100), "record %d is not near record 1", n)
	}
}

func TestBootsAndRecordsGoOn(t *testing.T) {
	d := formatted(t, 64)
	at, err := record.Verify(d, d.size())
	require.NoError(t, err)
	assert.Zero(t, at.Last)
	assert.Zero(t, at.Boots)
	assert.EqualValues(t, 10, appendN(t, d, 10))
	assert.EqualValues(t, 15, appendN(t, d, 5))
	at, err = record.Verify(d, d.size())
	require.NoError(t, err)
	assert.EqualValues(t, 15, at.Last)
	assert.EqualValues(t, 2, at.Boots)
}

func TestWhatIsNotOurs(t *testing.T) {
	d := newDisk(8)
	_, err := record.Verify(d, d.size())
	require.ErrorIs(t, err, record.ErrBlank)
	d.b[0] = 'x'
	_, err = record.Open(d, d.size())
	require.ErrorIs(t, err, record.ErrForeign)
	require.Error(t, record.Format(d, record.MinSize-1, record.ID{}))
}

func TestRecordsOfAnEarlierUseDoNotCount(t *testing.T) {
	d := formatted(t, 16)
	appendN(t, d, 9)
	require.NoError(t, record.Format(d, d.size(), record.ID{9}))
	at, err := record.Verify(d, d.size())
	require.NoError(t, err)
	assert.Zero(t, at.Last)
	assert.EqualValues(t, 3, appendN(t, d, 3))
}

// A guest is cut off at any point, in the middle of a write too: what it had
// acknowledged verifies, and the next boot goes on from there.
func TestTornTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(4, 40).Draw(t, "slots")
		d := formatted(t, slots)
		acked, boots := uint64(0), uint64(0)
		for range rapid.IntRange(1, 6).Draw(t, "boots") {
			acked = appendN(t, d, rapid.IntRange(0, 30).Draw(t, "records"))
			// One more write begins; each of its sectors is there, not there, or garbage.
			torn := d.clone()
			appendN(t, torn, 1)
			slot := int(record.Slot(acked+1, uint64(slots))) * record.SlotSize
			for s := slot; s < slot+record.SlotSize; s += 512 {
				switch rapid.IntRange(0, 3).Draw(t, "sector") {
				case 0: // old
				case 1: // garbage
					copy(d.b[s:s+512], rapid.SliceOfN(rapid.Byte(), 512, 512).Draw(t, "garbage"))
				default:
					copy(d.b[s:s+512], torn.b[s:s+512])
				}
			}
			if bytes.Equal(d.b[slot:slot+record.SlotSize], torn.b[slot:slot+record.SlotSize]) {
				acked++
			}
			at, err := record.Verify(d, d.size())
			require.NoError(t, err)
			require.Equal(t, acked, at.Last)
			require.GreaterOrEqual(t, at.Boots, boots)
			boots = at.Boots
		}
	})
}

// Any acknowledged record but the last that is lost, torn or stale is found;
// of the last, Verify tells that it is not there.
func TestLossIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(5, 40).Draw(t, "slots")
		d := formatted(t, slots)
		before := d.clone()
		last := appendN(t, d, rapid.IntRange(2, 100).Draw(t, "records"))
		room := uint64(slots - 1)
		oldest := uint64(1)
		if last+2 > room {
			oldest = max(1, last+2-room) // the slot before may be torn by the next write
		}
		lost := rapid.Uint64Range(oldest, last).Draw(t, "lost")
		slot := int(record.Slot(lost, uint64(slots))) * record.SlotSize
		if rapid.Bool().Draw(t, "stale") {
			copy(d.b[slot:slot+record.SlotSize], before.b[slot:])
		} else {
			d.b[slot+rapid.IntRange(0, record.SlotSize-1).Draw(t, "byte")] ^= 0x40
		}
		at, err := record.Verify(d, d.size())
		if lost == last {
			require.NoError(t, err)
			require.Equal(t, last-1, at.Last)
			return
		}
		require.ErrorContains(t, err, "missing or torn")
	})
}

func TestAnotherHistoryIsFound(t *testing.T) {
	a, b := formatted(t, 32), formatted(t, 32)
	appendN(t, a, 5)
	appendN(t, b, 3)
	appendN(t, b, 2) // the same numbers, with another boot
	slot := int(record.Slot(5, 32)) * record.SlotSize
	copy(a.b[slot:slot+record.SlotSize], b.b[slot:])
	_, err := record.Verify(a, a.size())
	require.ErrorContains(t, err, "record 5 does not refer to the record 4")
}

// failing fails from a write or a sync on.
type failing struct {
	*disk
	err error
}

func (f failing) Sync() error { return f.err }

func TestNoNumberWithoutSync(t *testing.T) {
	d := formatted(t, 8)
	broken := errors.New("broken")
	log, err := record.Open(failing{d, broken}, d.size())
	require.NoError(t, err)
	number, err := log.Append(0)
	require.ErrorIs(t, err, broken)
	assert.Zero(t, number)
	assert.Zero(t, log.Last())
}

func FuzzVerify(f *testing.F) {
	d := formatted(f, 6)
	appendN(f, d, 3)
	f.Add(d.b)
	f.Add(make([]byte, record.MinSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &disk{b: b}
		at, err := record.Verify(d, d.size())
		if err == nil {
			require.LessOrEqual(t, at.Slots, uint64(len(b)/record.SlotSize))
		}
	})
}
