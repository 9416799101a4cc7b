package accounting

import (
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/google/uuid"
)

// Key names a counter of a guest: of its device, as "0" for the first vif and
// "xvda" for a disk, or "" for what has none.
type Key struct {
	Dev    string
	Metric Metric
}

// Sample is where one counter stands, or how much there is of a gauge.
type Sample struct {
	Guest uuid.UUID
	Key
	// Epoch is a name of the object that counts, which no other object of this
	// Key has before or after it. When it changes, the counter has begun at 0
	// since the last reading.
	Epoch string
	Value uint64
}

// Reading is all that a source says at one moment: an object that is not in it
// does not exist.
type Reading struct {
	Source string // a source that learns new metrics takes a new name
	// Boot and Uptime are the clock that nobody sets: which boot of the host, and
	// the time since then.
	Boot   string
	Uptime time.Duration
	Time   time.Time // the wall clock at the same moment
	// Samples have each Guest and Key once.
	Samples []Sample
	// Marks are flags for guests' rows, as Left.
	Marks map[uuid.UUID]Flags
}

const maxValue = math.MaxInt64 / 2

func (r Reading) validate() error {
	if r.Source == "" || r.Boot == "" || r.Uptime <= 0 || r.Time.Unix() <= 0 {
		return fmt.Errorf("a reading of %q, boot %q, uptime %v, time %v: %w", r.Source, r.Boot, r.Uptime, r.Time, ErrInvalid)
	}
	for _, s := range r.Samples {
		if s.Metric >= NumMetrics || s.Epoch == "" || s.Value > maxValue {
			return fmt.Errorf("%v of %s %s, epoch %q, value %d: %w", s.Metric, s.Guest, s.Dev, s.Epoch, s.Value, ErrInvalid)
		}
	}
	return nil
}

// Cursor is where a counter stood at the last reading that had it.
type Cursor struct {
	Epoch  string
	Value  uint64
	Absent bool // the last reading did not have it
}

// Cursors are those of one guest and source.
type Cursors map[Key]Cursor

// State is what is known of a source: the moment of its last reading, and where
// the counters stood. The zero State is that of a source that was never read.
type State struct {
	Boot   string
	Uptime time.Duration
	Time   time.Time
	Guests map[uuid.UUID]Cursors
}

// never tells that there was no reading.
func (s State) never() bool { return s.Boot == "" }

// mulDiv returns a*b/c, rounded down, and the remainder. What is beyond all
// that a guest can have used is cut off there.
func mulDiv(a, b, c uint64) (int64, uint64) {
	hi, lo := bits.Mul64(a, b)
	if hi >= c {
		return maxValue, 0
	}
	q, r := bits.Div64(hi, lo, c)
	if q > maxValue {
		return maxValue, 0
	}
	return int64(q), r
}
