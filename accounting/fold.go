package accounting

import (
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
)

// FoldOptions of Fold; the zero value is right for a reading a minute.
type FoldOptions struct {
	// Gap is how long after the last reading the next one is late: rows are
	// flagged Gap from then on. 0 is 150 s.
	Gap time.Duration
	// Step is how far the wall clock may drift from the host's own between two
	// readings; more is flagged Step. 0 is 2 s.
	Step time.Duration
}

// Change is what a reading makes of a ledger: a store does all of it, or none.
type Change struct {
	// State is the source's new one, but Guests has only those that changed.
	State State
	// Rows are to be added to what their slots have: amounts are added, flags
	// are joined. They are of different guests or slots.
	Rows []Row
}

// Fold says what a reading means for a ledger in which its source stands at
// was. It is pure; was is not changed.
//
// A counter whose object is the one of the last reading has counted the
// difference since. One that went back counted at least what it shows. A new
// object counted what it shows: had it been there at the last reading, it would
// have been in it. The first reading of a source only says where its counters
// stand.
func Fold(was State, r Reading, o FoldOptions) (Change, error) {
	if err := r.validate(); err != nil {
		return Change{}, err
	}
	f := folding{was: was, r: r, rows: map[uuid.UUID]*amounts{}, next: map[uuid.UUID]Cursors{}}
	if err := f.clock(o); err != nil {
		return Change{}, err
	}
	seen := make(map[uuid.UUID]map[Key]bool, len(was.Guests))
	for _, s := range r.Samples {
		if seen[s.Guest] == nil {
			seen[s.Guest] = make(map[Key]bool, 16)
		}
		if seen[s.Guest][s.Key] {
			return Change{}, fmt.Errorf("%v of %s %s twice: %w", s.Metric, s.Guest, s.Dev, ErrInvalid)
		}
		seen[s.Guest][s.Key] = true
		f.sample(s)
	}
	for guest, cursors := range was.Guests {
		for key, c := range cursors {
			if !seen[guest][key] && !c.Absent {
				f.row(guest).flags |= Ended
				c.Absent = true
				f.cursors(guest)[key] = c
			}
		}
	}
	for guest, flags := range r.Marks {
		f.row(guest).flags |= flags
	}
	return f.change(), nil
}

// amounts are what a guest used since the last reading. Gauges that outlast a
// boot have an interval of their own.
type amounts struct {
	usage, over Usage
	flags       Flags
}

type folding struct {
	was  State
	r    Reading
	rows map[uuid.UUID]*amounts
	next map[uuid.UUID]Cursors

	counted time.Duration // before the reading: since the last one, or since the boot
	whole   time.Duration // since the last reading, also over a boot
	flags   Flags         // of all rows
}

// clock finds out how long the time is that the reading is about.
func (f *folding) clock(o FoldOptions) error {
	if o.Gap == 0 {
		o.Gap = 150 * time.Second
	}
	if o.Step == 0 {
		o.Step = 2 * time.Second
	}
	was, r := f.was, f.r
	if was.never() {
		return nil
	}
	wall := r.Time.Round(0).Sub(was.Time.Round(0))
	if was.Boot == r.Boot {
		f.counted = r.Uptime - was.Uptime
		f.whole = f.counted
		if f.counted <= 0 {
			return fmt.Errorf("%s after %v, was read at %v: %w", r.Source, r.Uptime, was.Uptime, ErrStale)
		}
		if d := wall - f.counted; d > o.Step || d < -o.Step {
			f.flags |= Step
		}
	} else {
		f.counted, f.whole = r.Uptime, wall
		if wall <= 0 { // the clock was wrong, before or after the boot
			f.whole = r.Uptime
			f.flags |= Step
		}
		f.counted = min(f.counted, f.whole)
	}
	if f.whole > o.Gap {
		f.flags |= Gap
	}
	return nil
}

func (f *folding) sample(s Sample) {
	c, known := f.was.Guests[s.Guest][s.Key]
	same := known && c.Epoch == s.Epoch
	if next := (Cursor{Epoch: s.Epoch, Value: s.Value}); next != c {
		f.cursors(s.Guest)[s.Key] = next
	}
	if f.was.never() {
		return
	}
	row := f.row(s.Guest)
	switch {
	case s.Metric.Gauge():
		if same && !c.Absent {
			length := f.whole
			amount, _ := mulDiv(c.Value, uint64(length), uint64(time.Second))
			if f.whole != f.counted {
				row.over[s.Metric] += amount
			} else {
				row.usage[s.Metric] += amount
			}
		}
	case same && s.Value >= c.Value:
		row.usage[s.Metric] += int64(s.Value - c.Value)
	case same:
		row.usage[s.Metric] += int64(s.Value)
		row.flags |= Reset
	default:
		row.usage[s.Metric] += int64(s.Value)
		row.flags |= New
	}
}

func (f *folding) row(guest uuid.UUID) *amounts {
	a := f.rows[guest]
	if a == nil {
		a = &amounts{flags: f.flags}
		f.rows[guest] = a
	}
	return a
}

// cursors are the guest's new ones, to be changed.
func (f *folding) cursors(guest uuid.UUID) Cursors {
	if f.next[guest] == nil {
		f.next[guest] = make(Cursors, 16)
		maps.Copy(f.next[guest], f.was.Guests[guest])
	}
	return f.next[guest]
}

func (f *folding) change() Change {
	out := Change{State: State{Boot: f.r.Boot, Uptime: f.r.Uptime, Time: f.r.Time.Round(0), Guests: f.next}}
	if f.was.never() {
		return out
	}
	counted, whole := slots(f.r.Time, f.counted), slots(f.r.Time, f.whole)
	for guest, a := range f.rows {
		over := whole
		if a.over == (Usage{}) { // nothing is said of the time before the boot
			over = counted
		}
		made := make([]Row, 0, len(over))
		place := make(map[int64]int, len(over))
		for _, s := range over {
			place[s.start] = len(made)
			made = append(made, Row{Guest: guest, Start: time.Unix(s.start, 0).UTC(), Flags: a.flags})
		}
		for m := range a.usage {
			if a.usage[m] != 0 {
				for i, n := range spread(a.usage[m], counted) {
					made[place[counted[i].start]].Usage[m] += n
				}
			}
			if a.over[m] != 0 {
				for i, n := range spread(a.over[m], over) {
					made[i].Usage[m] += n
				}
			}
		}
		out.Rows = append(out.Rows, made...)
	}
	return out
}
