package record

import (
	"fmt"
	"io"
)

// A Position is how far the chain on a disk got.
type Position struct {
	ID    ID
	Slots uint64
	Last  uint64 // the number of the last whole record; 0: none
	Boots uint64 // how often the guest started, as the last record has it
	Time  int64  // the guest's clock at the last record, nanoseconds since 1970
	Hash  Hash   // what record Last+1 refers to
}

// readAhead is how much Verify reads at once.
const readAhead = 256 * SlotSize

// Verify reads the whole disk and proves the chain: every record that the disk
// has room for is whole, in its place, and refers to the one before.
//
// The slot of record Last+1 alone may hold anything: that is a write which
// the guest had begun and not acknowledged.
//
// A disk without our header is ErrBlank or ErrForeign.
func Verify(d io.ReaderAt, size int64) (Position, error) {
	id, slots, first, err := readHeader(d, size)
	if err != nil {
		return Position{}, err
	}
	at := Position{ID: id, Slots: slots, Hash: first}
	found := make(map[uint64]link)
	buf := make([]byte, readAhead)
	for from := int64(SlotSize); from < int64(slots)*SlotSize; from += int64(len(buf)) {
		buf = buf[:min(readAhead, int64(slots)*SlotSize-from)]
		if _, err := d.ReadAt(buf, from); err != nil {
			return Position{}, fmt.Errorf("read at %d: %w", from, err)
		}
		for i := 0; i < len(buf); i += SlotSize {
			r, sum, ok := decode(buf[i:i+SlotSize], id)
			slot := uint64(from)/SlotSize + uint64(i)/SlotSize
			if !ok {
				continue
			}
			if r.Number == 0 || Slot(r.Number, slots) != slot {
				return Position{}, fmt.Errorf("record %d is in slot %d", r.Number, slot)
			}
			found[r.Number] = link{Record: r, sum: sum}
			if r.Number > at.Last {
				at.Last, at.Boots, at.Time, at.Hash = r.Number, r.Boot, r.Time, sum
			}
		}
	}
	return at, checkChain(found, at.Last, slots-1, first)
}

// A link is a record with its own hash.
type link struct {
	Record
	sum Hash
}

// checkChain walks from the last record back to the oldest that a disk with
// room for n still has.
func checkChain(found map[uint64]link, last, n uint64, first Hash) error {
	for number := last; number > 0; number-- {
		if number+n == last+1 { // its slot is that of last+1
			break
		}
		r, ok := found[number]
		if !ok {
			return fmt.Errorf("record %d is missing or torn, the last is %d", number, last)
		}
		if number == 1 {
			if r.Prev != first {
				return fmt.Errorf("record 1 does not refer to the header")
			}
			break
		}
		prev, ok := found[number-1]
		if !ok {
			if number+n == last+2 { // prev's slot may be torn by last+1
				break
			}
			return fmt.Errorf("record %d is missing or torn, the last is %d", number-1, last)
		}
		if r.Prev != prev.sum {
			return fmt.Errorf("record %d does not refer to the record %d that is there", number, number-1)
		}
		if r.Boot < prev.Boot {
			return fmt.Errorf("record %d of boot %d follows one of boot %d", number, r.Boot, prev.Boot)
		}
	}
	return nil
}
