package accounting

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Quota is how much traffic a guest has in a period, and what has happened in
// this one. It is kept in the ledger, so that it is the same after a restart.
type Quota struct {
	Guest uuid.UUID `json:"guest"`
	// Limit in bytes of external traffic; 0 is no quota.
	Limit int64 `json:"limit"`
	// Count says what is counted of the two directions.
	Count Count `json:"count"`
	// Warn is the part of Limit, in percent, at which the customer is told; 0 is
	// none.
	Warn int `json:"warn,omitempty"`
	// Soft: at Limit the guest is throttled. Hard is where the kernel stops its
	// external traffic at the byte, as a part of Limit in percent; 0 is nowhere.
	Soft bool `json:"soft,omitempty"`
	Hard int  `json:"hard,omitempty"`
	// Zone and Anchor say when a period begins; see Month.
	Zone   string `json:"zone,omitempty"` // "" is UTC
	Anchor int    `json:"anchor,omitempty"`

	// What follows is of the current period, and starts anew with the next.
	Period time.Time `json:"period,omitzero"` // its beginning
	TopUp  int64     `json:"top_up,omitempty"`
	Done   []Level   `json:"done,omitempty"` // hooks that were called, successfully
}

// Count says what counts of two directions.
type Count string

// Both directions together, or one of them.
const (
	CountBoth Count = "both" // also ""
	CountIn   Count = "in"
	CountOut  Count = "out"
)

// Level is a threshold of a quota.
type Level string

// The levels, in the order in which they are reached.
const (
	LevelWarn Level = "warn"
	LevelSoft Level = "soft"
	LevelHard Level = "hard"
)

// Validate refuses what can not be kept: ErrInvalid.
func (q Quota) Validate() error {
	switch {
	case q.Limit < 0 || q.Limit > 1<<60 || q.TopUp < 0 || q.TopUp > 1<<60:
		return fmt.Errorf("quota of %d + %d bytes: %w", q.Limit, q.TopUp, ErrInvalid)
	case q.Warn < 0 || q.Warn > 100 || q.Hard != 0 && (q.Hard < 100 || q.Hard > 1000):
		return fmt.Errorf("quota: warn at %d %%, hard at %d %%: %w", q.Warn, q.Hard, ErrInvalid)
	case q.Count != "" && q.Count != CountBoth && q.Count != CountIn && q.Count != CountOut:
		return fmt.Errorf("quota counts %q: %w", q.Count, ErrInvalid)
	case q.Anchor < 0 || q.Anchor > 31:
		return fmt.Errorf("quota: day %d of the month: %w", q.Anchor, ErrInvalid)
	}
	_, err := q.location()
	return err
}

func (q Quota) location() (*time.Location, error) {
	loc, err := time.LoadLocation(q.Zone)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", q.Zone, ErrInvalid)
	}
	return loc, nil
}

// Of is what counts of a usage.
func (c Count) Of(u Usage) int64 {
	switch c {
	case CountIn:
		return u.Net(External, In)
	case CountOut:
		return u.Net(External, Out)
	}
	return u.Net(External, In) + u.Net(External, Out)
}

// Bytes returns the amount at which a level is reached; ok is false if the
// quota has no such level.
func (q Quota) Bytes(l Level) (bytes int64, ok bool) {
	whole := q.Limit + q.TopUp
	part := func(percent int) int64 {
		n, _ := mulDiv(uint64(whole), uint64(percent), 100)
		return n
	}
	switch l {
	case LevelWarn:
		return part(q.Warn), q.Warn != 0
	case LevelSoft:
		return whole, q.Soft
	case LevelHard:
		return part(q.Hard), q.Hard != 0
	}
	return 0, false
}

// Has tells whether a direction counts.
func (c Count) Has(d Direction) bool {
	return c != CountIn && c != CountOut || c == CountIn && d == In || c == CountOut && d == Out
}

// Limit is where the kernel stops a guest's external traffic; see
// meter.Linux.SetLimits.
type Limit struct {
	Guest  uuid.UUID
	Period time.Time // that the limit is for
	Bytes  int64     // at which it stops
	Used   int64     // of them, before the limit is put in force
	Count  Count
}
