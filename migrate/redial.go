package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen/host"
)

// While the guest runs at the source, a copy that was cut is no reason to end a
// move of hours: the target is called again, tells by hashes what had arrived,
// and the pass goes on.

// holdTime is how long a target may need to notice that the connection before
// is dead, and to give the guest back.
const holdTime = 2 * time.Minute

// onward runs a part of a copy, again if the connection to the target was cut
// and the caller has another one.
func (m *move) onward(ctx context.Context, part func() error) error {
	for {
		err := part()
		if err == nil || m.plan.opts.Redial == nil || !errors.Is(err, ErrUnreachable) || ctx.Err() != nil {
			return err
		}
		for again := m.redial(ctx); again != nil; again = m.redial(ctx) {
			if !errors.Is(again, ErrUnreachable) || errors.Is(again, errFinal) || ctx.Err() != nil {
				return fmt.Errorf("%w (then: %w)", err, again)
			}
		}
	}
}

// errFinal: to call the target once more is of no use.
var errFinal = errors.New("the copy does not go on")

// redial takes the target of this move anew.
func (m *move) redial(ctx context.Context) error {
	if _, err := m.pair.Source.Observe(ctx); err != nil {
		return fmt.Errorf("%w: %w", errFinal, err) // what the source held for it is gone
	}
	to, err := m.plan.opts.Redial(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errFinal, err)
	}
	m.report.Redials++
	if c, ok := to.(io.Closer); ok {
		m.closers = append(m.closers, c)
	}
	if to.Name() != m.plan.To {
		return fmt.Errorf("%w: redial: it is %s, not %s", host.ErrInvalid, to.Name(), m.plan.To)
	}
	side, err := m.again(ctx, to)
	if err != nil {
		return err
	}
	was := m.pair.Target
	m.pair.Target = side
	_ = was.Close() // its connection is gone
	if err := m.grip.claim(ctx, handover.Pair{Source: side, Target: side}); err != nil {
		return err
	}
	seen, err := side.Observe(ctx)
	if err != nil {
		return fmt.Errorf("look at %s: %w", m.plan.To, err)
	}
	if r := seen.Record; r.State != m.t.State || r.Epoch != m.t.Epoch || r.Move != m.t.Move {
		return fmt.Errorf("%w: on %s it is %s (epoch %d) now", ErrConflict, m.plan.To, r.State, r.Epoch)
	}
	return m.pair.Do(handover.Receive, side, "", func() error {
		_, err := side.Receive(ctx, m.plan.Guest, m.t.Epoch)
		return err
	})
}

// again holds the guest on the target, as soon as the one before has let go.
func (m *move) again(ctx context.Context, to Host) (handover.Side, error) {
	ctx, cancel := context.WithTimeout(ctx, holdTime)
	defer cancel()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		side, err := open(ctx, to, m.plan.Guest.UUID)
		if !errors.Is(err, host.ErrBusy) {
			return side, err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// close gives back what the move held.
func (m *move) close() {
	closePair(m.pair)
	for _, c := range m.closers {
		_ = c.Close() // the hold is over
	}
}
