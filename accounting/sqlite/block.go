package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/accounting"
)

// day is how much time a block holds.
const day = 24 * time.Hour

// A block is what one guest used on one UTC day, by columns: most guests use few
// metrics, and a column of small numbers takes a byte or two for each.
type block struct {
	start   time.Time
	step    time.Duration
	has     []bool
	flags   []accounting.Flags
	columns [accounting.NumMetrics][]int64 // nil is all zeros
}

func newBlock(start time.Time, step time.Duration) *block {
	n := int(day / step)
	return &block{start: start, step: step, has: make([]bool, n), flags: make([]accounting.Flags, n)}
}

// place is the index of the slot that t is in.
func (b *block) place(t time.Time) int { return int(t.Sub(b.start) / b.step) }

// add adds a row to its slot.
func (b *block) add(r accounting.Row) {
	i := b.place(r.Start)
	b.has[i] = true
	b.flags[i] |= r.Flags
	for m, n := range r.Usage {
		if n != 0 {
			b.column(m)[i] += n
		}
	}
}

// set puts a row in place of what its slot has.
func (b *block) set(r accounting.Row) {
	i := b.place(r.Start)
	b.flags[i] = 0
	for _, c := range b.columns {
		if c != nil {
			c[i] = 0
		}
	}
	b.add(r)
}

func (b *block) column(m int) []int64 {
	if b.columns[m] == nil {
		b.columns[m] = make([]int64, len(b.has))
	}
	return b.columns[m]
}

// row is the i-th one.
func (b *block) row(guest uuid.UUID, i int) accounting.Row {
	r := accounting.Row{Guest: guest, Start: b.start.Add(time.Duration(i) * b.step), Flags: b.flags[i]}
	for m, c := range b.columns {
		if c != nil {
			r.Usage[m] = c[i]
		}
	}
	return r
}

// coarser is the block in longer steps, or the same one.
func (b *block) coarser(step time.Duration) *block {
	if step <= b.step {
		return b
	}
	out := newBlock(b.start, step)
	out.join(b)
	return out
}

// join adds another block of the day, whose steps are not longer.
func (b *block) join(o *block) {
	for i := range o.has {
		if !o.has[i] {
			continue
		}
		to := b.place(o.start.Add(time.Duration(i) * o.step))
		b.has[to] = true
		b.flags[to] |= o.flags[i]
	}
	for m, c := range o.columns {
		if c == nil {
			continue
		}
		into := b.column(m)
		for i, n := range c {
			if n != 0 {
				into[b.place(o.start.Add(time.Duration(i)*o.step))] += n
			}
		}
	}
}

const flagsColumn = 0xff

// encode writes the block: its step in seconds, a bit a slot, and then the
// columns that are not all zeros, each with its number, its length in bytes and
// a varint for every slot that is there.
func (b *block) encode() []byte {
	out := binary.AppendUvarint(nil, uint64(b.step/time.Second))
	bitmap := make([]byte, (len(b.has)+7)/8)
	for i, has := range b.has {
		if has {
			bitmap[i/8] |= 1 << (i % 8)
		}
	}
	out = append(out, bitmap...)
	var scratch []byte
	put := func(id byte, value func(int) uint64) {
		scratch = scratch[:0]
		some := false
		for i, has := range b.has {
			if has {
				v := value(i)
				some = some || v != 0
				scratch = binary.AppendUvarint(scratch, v)
			}
		}
		if some {
			out = append(binary.AppendUvarint(append(out, id), uint64(len(scratch))), scratch...)
		}
	}
	put(flagsColumn, func(i int) uint64 { return uint64(b.flags[i]) })
	for m, c := range b.columns {
		if c != nil {
			put(byte(m), func(i int) uint64 { return uint64(c[i]) })
		}
	}
	return out
}

var errBlock = errors.New("a damaged block")

// decode reads what encode wrote.
func decode(start time.Time, data []byte) (*block, error) {
	seconds, n := binary.Uvarint(data)
	step := time.Duration(seconds) * time.Second
	switch step {
	case accounting.SlotLength, time.Hour, day:
	default:
		return nil, fmt.Errorf("step of %d s: %w", seconds, errBlock)
	}
	b := newBlock(start, step)
	data = data[n:]
	if len(data) < (len(b.has)+7)/8 {
		return nil, errBlock
	}
	for i := range b.has {
		b.has[i] = data[i/8]&(1<<(i%8)) != 0
	}
	for data = data[(len(b.has)+7)/8:]; len(data) > 0; {
		id := data[0]
		length, n := binary.Uvarint(data[1:])
		if n <= 0 || length > uint64(len(data)-1-n) || id != flagsColumn && id >= byte(accounting.NumMetrics) {
			return nil, errBlock
		}
		values := data[1+n : 1+n+int(length)]
		data = data[1+n+int(length):]
		if !b.fill(id, values) {
			return nil, errBlock
		}
	}
	return b, nil
}

// fill reads one column; false is a damaged one.
func (b *block) fill(id byte, values []byte) bool {
	for i, has := range b.has {
		if !has {
			continue
		}
		v, n := binary.Uvarint(values)
		if n <= 0 || v > 1<<63-1 {
			return false
		}
		values = values[n:]
		if id == flagsColumn {
			b.flags[i] = accounting.Flags(v)
		} else {
			b.column(int(id))[i] = int64(v)
		}
	}
	return len(values) == 0
}
