package accounting

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// SlotLength is how long a slot is; slots begin at multiples of it in UTC.
const SlotLength = 300 * time.Second

// SlotOf returns the beginning of the slot that t is in.
func SlotOf(t time.Time) time.Time {
	s := t.Unix()
	length := int64(SlotLength / time.Second)
	return time.Unix(s-((s%length)+length)%length, 0).UTC()
}

// Row is what a guest used in one slot, or hour, or day. A host's own meter has
// rows of the zero UUID.
type Row struct {
	Guest uuid.UUID `json:"guest"`
	Start time.Time `json:"start"`
	Usage Usage     `json:"usage"`
	Flags Flags     `json:"flags,omitempty"`
}

// Flags say what is to be known about a row.
type Flags uint16

const (
	// Reset: a counter went back although its object was the same. What it had
	// counted since the last reading is missing.
	Reset Flags = 1 << iota
	// New: an object with counters began in this time. What its predecessor
	// counted after the last reading is missing.
	New
	// Ended: an object went away in this time. What it counted after the last
	// reading is missing.
	Ended
	// Gap: nobody read for longer than usual; the amount is right, its place in
	// time is an even spread.
	Gap
	// Step: the wall clock was set.
	Step
	// Left and Arrived: the guest moved to or from another host.
	Left
	Arrived
	// Coarse: the row holds more time than was asked for, since the ledger keeps
	// its slots no longer.
	Coarse
)

func (f Flags) words() []string {
	var all []string
	for i, name := range [...]string{"reset", "new", "ended", "gap", "step", "left", "arrived", "coarse"} {
		if f&(1<<i) != 0 {
			all = append(all, name)
		}
	}
	return all
}

// String lists the flags with commas; "" is none.
func (f Flags) String() string { return strings.Join(f.words(), ",") }

// share is the part of an interval that is in one slot.
type share struct {
	start int64 // of the slot, Unix seconds
	part  time.Duration
}

// slots cuts the time from end-length to end at the borders of slots.
func slots(end time.Time, length time.Duration) []share {
	var all []share
	for at := end.Add(-length); at.Before(end); {
		start := SlotOf(at)
		next := start.Add(SlotLength)
		if next.After(end) {
			next = end
		}
		all = append(all, share{start.Unix(), next.Sub(at)})
		at = next
	}
	return all
}

// spread divides an amount over shares by their lengths, so that the whole
// numbers add up to it: each gets its part rounded down, and what is left goes,
// one each, to those that lost most by that.
func spread(amount int64, over []share) []int64 {
	out := make([]int64, len(over))
	if len(over) == 1 {
		out[0] = amount
		return out
	}
	var whole time.Duration
	for _, s := range over {
		whole += s.part
	}
	rests := make([]uint64, len(over))
	left := amount
	for i, s := range over {
		out[i], rests[i] = mulDiv(uint64(amount), uint64(s.part), uint64(whole))
		left -= out[i]
	}
	for ; left > 0; left-- { // fewer times than there are shares
		most := 0
		for i := range rests {
			if rests[i] > rests[most] {
				most = i
			}
		}
		out[most]++
		rests[most] = 0
	}
	return out
}
