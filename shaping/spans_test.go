package shaping_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/shaping"
)

// flows are measured together: each of them waits in a span.
type flows []func([]shaping.Counter) shaping.Flow

// measure says how fast flows are while more waits than their limit lets
// through, which is what a limit is about. It looks at the kernel's counters
// every millisecond, and counts the spans in which no queue was ever empty and
// they never stood still: a machine that is too busy to send, to queue or to
// look makes such a span shorter and not slower. atOnce is how many bytes the
// limit lets through in one turn. It goes on until each group has spans of two
// seconds and of 150 turns together, in which a turn more or less is not seen.
func (s *street) measure(t *testing.T, limit shaping.Rate, atOnce int64, groups ...flows) (rates [][]float64) {
	t.Helper()
	defer first(t)()
	turn := time.Duration(atOnce * 8 * int64(time.Second) / int64(limit))
	enough := max(2*time.Second, 150*turn)
	seen := make([]spans, len(groups))
	begin := time.Now()
	for lacking := true; lacking; {
		require.Less(t, time.Since(begin), 2*time.Minute, "the queues are not full, or do not move: %+v", seen)
		r := s.read(t)
		lacking = false
		for i, group := range groups {
			seen[i].see(r, group, turn)
			lacking = lacking || seen[i].sum(turn).took < enough
		}
		time.Sleep(time.Millisecond)
	}
	for i, group := range groups {
		all := seen[i].sum(turn)
		t.Logf("%v in %d spans, of %v", all.took.Round(time.Millisecond), all.n, time.Since(begin).Round(time.Millisecond))
		var each []float64
		for k := range group {
			each = append(each, float64(all.bytes[k])*8/all.took.Seconds())
		}
		rates = append(rates, each)
	}
	return rates
}

// first lets this thread go before all others, so that it looks in time.
func first(t *testing.T) (undo func()) {
	t.Helper()
	runtime.LockOSThread()
	was, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Setpriority(unix.PRIO_PROCESS, 0, -20))
	return func() {
		require.NoError(t, unix.Setpriority(unix.PRIO_PROCESS, 0, 20-was)) // the kernel tells it as 40 to 1
		runtime.UnlockOSThread()
	}
}

// largest is the most that one guest's limit lets through at once: a packet of
// TCP before it is cut up.
const largest = 64 << 10

// spans are the times in which flows were held to their limit. A queue that
// stands still for twice as long as a turn takes is held up by the machine, and
// spans of a few turns are not counted.
type spans struct {
	ended span
	on    bool // one goes on
	begin mark // of that
	moved mark // the last progress in it
	last  mark // the last look
}

// span is one, or several together.
type span struct {
	n     int
	bytes [3]uint64
	took  time.Duration
}

// mark is what the counters said at a moment.
type mark struct {
	at    time.Time
	bytes [3]uint64
}

// see takes in a look.
func (s *spans) see(r reading, group flows, turn time.Duration) {
	now, waits := mark{at: r.at}, true
	for i, of := range group {
		f := of(r.counters)
		now.bytes[i] = f.Bytes
		waits = waits && f.Backlog > 0
	}
	late := now.at.Sub(s.last.at) > 2*turn
	moves := now.bytes != s.last.bytes
	s.last = now
	if s.on && (!waits || late || now.at.Sub(s.moved.at) > 2*turn) {
		s.ended, s.on = s.sum(turn), false
	}
	if !waits || late || !moves {
		return
	}
	if s.moved = now; !s.on { // they have just sent what they had credit for, and have more
		s.on, s.begin = true, now
	}
}

// sum counts the span that goes on too.
func (s *spans) sum(turn time.Duration) span {
	out, took := s.ended, s.moved.at.Sub(s.begin.at)
	if !s.on || took < 40*turn {
		return out
	}
	out.n, out.took = out.n+1, out.took+took
	for i := range out.bytes {
		out.bytes[i] += s.moved.bytes[i] - s.begin.bytes[i]
	}
	return out
}
