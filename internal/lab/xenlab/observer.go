package xenlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Observer collects the acknowledgements of guests in the Internet namespace,
// by one clock.
type Observer struct {
	conn net.PacketConn

	mu    sync.Mutex
	acks  map[string][]Ack
	fresh chan struct{} // closed at the next acknowledgement
}

// Ack is one acknowledgement: this record was durable on the guest's disk
// before the guest sent it.
type Ack struct {
	Number uint64
	Boot   uint64
	At     time.Time // when it arrived here, with the monotonic clock
}

// Observe listens on the Internet's address, on a port of its own. The
// namespace is there while hosts are up.
func (l *Lab) Observe() (*Observer, error) {
	o := &Observer{acks: make(map[string][]Ack), fresh: make(chan struct{})}
	err := l.internet().Do(func() (err error) {
		o.conn, err = net.ListenPacket("udp4", InternetAddr+":0")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: observe: %w", err)
	}
	go o.collect()
	return o, nil
}

// Addr is where guests are to acknowledge: Guest.Ack.
func (o *Observer) Addr() string { return o.conn.LocalAddr().String() }

// Close ends the collecting; what was collected stays.
func (o *Observer) Close() error { return o.conn.Close() }

func (o *Observer) collect() {
	packet := make([]byte, 512)
	for {
		n, _, err := o.conn.ReadFrom(packet)
		at := time.Now()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		var name string
		var a Ack
		if _, err := fmt.Sscanf(string(packet[:n]), "%s %d %d", &name, &a.Number, &a.Boot); err != nil {
			continue
		}
		a.At = at
		o.mu.Lock()
		o.acks[name] = append(o.acks[name], a)
		close(o.fresh)
		o.fresh = make(chan struct{})
		o.mu.Unlock()
	}
}

// Acks returns all of a guest's acknowledgements in the order in which they came.
func (o *Observer) Acks(guest string) []Ack {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.acks[guest])
}

// Acked returns the highest record that a guest acknowledged; 0: none yet.
func (o *Observer) Acked(guest string) (number uint64) {
	for _, a := range o.Acks(guest) {
		number = max(number, a.Number)
	}
	return number
}

// Wait waits until a guest has acknowledged that record or a later one.
func (o *Observer) Wait(ctx context.Context, guest string, number uint64) error {
	for {
		o.mu.Lock()
		fresh := o.fresh
		o.mu.Unlock()
		acked := o.Acked(guest)
		if acked >= number {
			return nil
		}
		select {
		case <-fresh:
		case <-ctx.Done():
			return fmt.Errorf("lab: guest %s acknowledged record %d, not yet %d: %w", guest, acked, number, ctx.Err())
		}
	}
}

// Gap returns the longest time between two acknowledgements of a guest from one
// moment to another, the two moments included: of a guest that said nothing it
// is the whole time.
func (o *Observer) Gap(guest string, from, to time.Time) time.Duration {
	return longestGap(o.Acks(guest), from, to)
}

func longestGap(acks []Ack, from, to time.Time) (longest time.Duration) {
	last := from
	for _, a := range acks {
		if a.At.Before(from) || a.At.After(to) {
			continue
		}
		longest = max(longest, a.At.Sub(last))
		last = a.At
	}
	return max(longest, to.Sub(last))
}
