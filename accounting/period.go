package accounting

import (
	"fmt"
	"time"
)

// Period is a time that is billed: [Start, End).
type Period struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Month returns the month that t is in: from the anchor day at midnight in a
// time zone to the same day of the next month, or the last one of a month that
// is shorter. 0 and 1 are calendar months. Where a clock has no midnight that
// day, it begins with the first hour that there is.
func Month(t time.Time, loc *time.Location, anchor int) (Period, error) {
	if anchor < 0 || anchor > 31 {
		return Period{}, fmt.Errorf("day %d of the month: %w", anchor, ErrInvalid)
	}
	anchor = max(anchor, 1)
	local := t.In(loc)
	y, m := local.Year(), local.Month()
	start := anchored(y, m, anchor, loc)
	if t.Before(start) {
		m--
		start = anchored(y, m, anchor, loc)
	}
	return Period{start.UTC(), anchored(y, m+1, anchor, loc).UTC()}, nil
}

func anchored(y int, m time.Month, day int, loc *time.Location) time.Time {
	last := time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return time.Date(y, m, min(day, last), 0, 0, 0, 0, loc)
}

// Slots is how many slots a period has: 8,640 in 30 days, twelve less or more
// where the clock changes.
func (p Period) Slots() int { return int(p.End.Sub(p.Start) / SlotLength) }

// Contains tells whether t is in the period.
func (p Period) Contains(t time.Time) bool { return !t.Before(p.Start) && t.Before(p.End) }

// ProRata is the part of a price (in millionths of a currency's unit, or any
// other whole number) for a part of a period, rounded half to even.
func ProRata(price int64, active, whole time.Duration) int64 {
	if price < 0 {
		return -ProRata(-price, active, whole)
	}
	if whole <= 0 || active <= 0 {
		return 0
	}
	n, rest := mulDiv(uint64(price), uint64(min(active, whole)), uint64(whole))
	if half := uint64(whole) - rest; rest > half || rest == half && n%2 == 1 {
		n++
	}
	return n
}
