package accounting

import (
	"time"

	"github.com/google/uuid"
)

// Curve is what a host draws: Idle watts with nothing to do, Busy watts with all
// CPUs at work. The zero Curve is 120 W and 174 W.
type Curve struct {
	Idle, Busy float64
	CPUs       int // of the host; 0 is 1
}

// Power divides what a host drew in a time over its guests, in millijoules. The
// part that it draws with nothing to do is divided by memory, since that is what
// keeps others off the host; the rest by CPU time. What a meter measured is given
// as the metric Energy of the zero UUID; without it the curve says how much it
// was. Amounts of guests add up to the host's, rounded down.
func Power(length time.Duration, usage map[uuid.UUID]Usage, c Curve) map[uuid.UUID]int64 {
	if c.Idle == 0 && c.Busy == 0 {
		c.Idle, c.Busy = 120, 174
	}
	var memory, cpu float64
	for guest, u := range usage {
		if guest != (uuid.UUID{}) {
			memory += float64(u[Memory])
			cpu += float64(u[CPU])
		}
	}
	load := min(cpu/(float64(max(c.CPUs, 1))*float64(length)), 1)
	idle := c.Idle * length.Seconds() * 1000
	busy := (c.Busy - c.Idle) * load * length.Seconds() * 1000
	if metered := float64(usage[uuid.UUID{}][Energy]); metered > 0 {
		idle = min(idle, metered)
		busy = metered - idle
	}
	out := make(map[uuid.UUID]int64, len(usage))
	for guest, u := range usage {
		if guest == (uuid.UUID{}) {
			continue
		}
		share := 0.0
		if memory > 0 {
			share += idle * float64(u[Memory]) / memory
		}
		if cpu > 0 {
			share += busy * float64(u[CPU]) / cpu
		}
		out[guest] = int64(share)
	}
	return out
}
