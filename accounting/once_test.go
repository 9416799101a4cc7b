package accounting

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// sequences is how many lives of a ledger TestExactlyOnce goes through.
const sequences = 100_000

// An object counts what passes, as a vif's element or a domain does.
type object struct {
	epoch  string
	value  uint64
	unread int64  // passed since the last reading that was kept
	seen   bool   // a reading had it
	below  uint64 // a reset one must stay below what it had, or nobody could tell
}

// A machine is a host with its counters and its ledger.
type machine struct {
	boot    int
	uptime  time.Duration
	wall    time.Time
	objects map[uuid.UUID]*object
	ledger  ledger
}

// A life is a random sequence of all that happens to guests and hosts.
type life struct {
	rnd      *rand.Rand
	hosts    [2]*machine
	epochs   int
	passed   map[uuid.UUID]int64 // what was really sent
	mayLack  map[uuid.UUID]int64 // sent and not read before the counter went
	unseen   map[uuid.UUID]int64 // of it, what passed a counter that came and went between two readings
	readings int
}

func newLife(seed uint64) *life {
	l := &life{rnd: rand.New(rand.NewPCG(seed, 1)), passed: map[uuid.UUID]int64{}, mayLack: map[uuid.UUID]int64{}, unseen: map[uuid.UUID]int64{}}
	for i := range l.hosts {
		l.hosts[i] = &machine{uptime: time.Minute, wall: noon, objects: map[uuid.UUID]*object{}}
	}
	return l
}

func (l *life) epoch() string { l.epochs++; return fmt.Sprint("e", l.epochs) }

// lose takes a guest's counter away with what it had not told.
func (l *life) lose(m *machine, g uuid.UUID) {
	if o := m.objects[g]; o != nil {
		l.mayLack[g] += o.unread
		if !o.seen {
			l.unseen[g] += o.unread
		}
		delete(m.objects, g)
	}
}

func (m *machine) reading() Reading {
	r := Reading{Source: "test", Boot: fmt.Sprint("boot", m.boot), Uptime: m.uptime, Time: m.wall}
	for g, o := range m.objects {
		r.Samples = append(r.Samples, count(g, o.epoch, o.value))
	}
	return r
}

// read reads a host, and is killed at a random point.
func (l *life) read(m *machine) error {
	m.pass(time.Duration(1+l.rnd.IntN(90)) * time.Second)
	r := m.reading()
	c, err := Fold(m.ledger.state, r, FoldOptions{})
	if err != nil {
		return err
	}
	switch l.rnd.IntN(8) {
	case 0: // killed before the transaction was committed
		return nil
	case 1: // killed after; whoever comes next does not know, and does it again
		m.ledger.take(c)
		if again, err := Fold(m.ledger.state, r, FoldOptions{}); err == nil {
			return fmt.Errorf("the same reading twice: %+v", again)
		}
	default:
		m.ledger.take(c)
	}
	l.readings++
	for _, o := range m.objects {
		o.unread, o.below, o.seen = 0, 0, true
	}
	return nil
}

func (m *machine) pass(d time.Duration) { m.uptime += d; m.wall = m.wall.Add(d) }

func (l *life) step() error {
	m := l.hosts[l.rnd.IntN(2)]
	g := []uuid.UUID{web1, db1}[l.rnd.IntN(2)]
	switch l.rnd.IntN(20) {
	case 0: // the guest's counter is made anew: it reboots, its element is replaced
		if m.objects[g] != nil {
			l.lose(m, g)
			m.objects[g] = &object{epoch: l.epoch()}
		}
	case 1: // somebody sets a counter to 0
		if o := m.objects[g]; o != nil {
			l.mayLack[g] += o.unread
			if !o.seen {
				l.unseen[g] += o.unread
			}
			*o = object{epoch: o.epoch, seen: o.seen, below: max(o.value-uint64(o.unread), o.below)}
		}
	case 2: // dom0 reboots; the clock need not be right afterwards
		for g := range m.objects {
			l.lose(m, g)
		}
		m.boot++
		m.uptime = time.Duration(1+l.rnd.IntN(400)) * time.Second
		m.wall = m.wall.Add(time.Duration(l.rnd.IntN(1500)-300) * time.Second)
	case 3: // the clock is set
		m.wall = m.wall.Add(time.Duration(l.rnd.IntN(7200)-3600) * time.Second)
	case 4: // nobody reads for a while
		m.pass(time.Duration(l.rnd.IntN(1500)) * time.Second)
	case 5: // the guest starts here, and so is not there
		other := l.hosts[0]
		if m == other {
			other = l.hosts[1]
		}
		if m.objects[g] == nil {
			if l.rnd.IntN(3) > 0 { // a move: the host that it leaves reads once more
				if err := l.read(other); err != nil {
					return err
				}
			}
			l.lose(other, g)
			m.objects[g] = &object{epoch: l.epoch()}
		}
	case 6: // the guest goes
		l.lose(m, g)
	case 7, 8, 9, 10, 11, 12:
		return l.read(m)
	default:
		n := l.rnd.Int64N(1 << l.rnd.IntN(40))
		if o := m.objects[g]; o != nil && (o.below == 0 || o.value+uint64(n) < o.below) {
			o.value += uint64(n)
			o.unread += n
			l.passed[g] += n
		}
	}
	return nil
}

// run is one life; it returns what is wrong with the ledgers at its end.
func run(seed uint64) (readings int, err error) {
	l := newLife(seed)
	for _, m := range l.hosts { // each ledger begins before there are guests
		c, err := Fold(m.ledger.state, m.reading(), FoldOptions{})
		if err != nil {
			return 0, err
		}
		m.ledger.take(c)
	}
	for range 8 + l.rnd.IntN(24) {
		if err := l.step(); err != nil {
			return 0, err
		}
	}
	for _, m := range l.hosts {
		m.pass(time.Second)
		c, err := Fold(m.ledger.state, m.reading(), FoldOptions{})
		if err != nil {
			return 0, err
		}
		m.ledger.take(c)
	}
	for _, g := range []uuid.UUID{web1, db1} {
		var billed int64
		var flags Flags
		for _, m := range l.hosts {
			for _, r := range m.ledger.rows[g] {
				if r.Usage[ExternalIn4] < 0 {
					return 0, fmt.Errorf("negative: %+v", r)
				}
				billed += r.Usage[ExternalIn4]
				flags |= r.Flags
			}
		}
		switch lacks := l.passed[g] - billed; {
		case lacks < 0:
			return 0, fmt.Errorf("%d were sent and %d billed", l.passed[g], billed)
		case lacks > l.mayLack[g]:
			return 0, fmt.Errorf("%d of %d lost, at most %d can be", lacks, l.passed[g], l.mayLack[g])
		case lacks > l.unseen[g] && flags&(New|Ended|Reset) == 0:
			return 0, fmt.Errorf("%d lost without a flag", lacks)
		}
	}
	return l.readings, nil
}

// TestExactlyOnce: whatever happens to guests, counters, clocks, hosts and the
// process that reads, nothing is billed twice, nothing is negative, and nothing
// is lost but what a counter had not told when it went, which is flagged if any
// reading knew of the counter.
func TestExactlyOnce(t *testing.T) {
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	var mu sync.Mutex
	readings := 0
	for w := range workers {
		wg.Go(func() {
			sum := 0
			for seed := w; seed < sequences; seed += workers {
				n, err := run(uint64(seed))
				if err != nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
				sum += n
			}
			mu.Lock()
			readings += sum
			mu.Unlock()
		})
	}
	wg.Wait()
	require.Greater(t, readings, 3*sequences, "the sequences read")
	t.Logf("RESULT %d sequences with %d readings: 0 doubled, 0 negative, no loss without a flag", sequences, readings)
}
