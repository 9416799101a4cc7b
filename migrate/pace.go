package migrate

import (
	"context"
	"io"
	"sync"
	"time"
)

// pace is how fast all the streams of a move together may be. Bytes pass and
// then have their time, so a pause of a source is not made up for by a burst.
type pace struct {
	rate int64 // bytes per second

	mu   sync.Mutex
	next time.Time // when the bytes so far have had their time
}

// newPace returns nil, which is no limit, for 0.
func newPace(rate int64) *pace {
	if rate <= 0 {
		return nil
	}
	return &pace{rate: rate}
}

// wait takes the time of n bytes.
func (p *pace) wait(ctx context.Context, n int) error {
	p.mu.Lock()
	if now := time.Now(); p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	until := p.next
	p.mu.Unlock()
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// limited returns w at that pace.
func limited(ctx context.Context, w io.Writer, p *pace) io.Writer {
	if p == nil {
		return w
	}
	return &paced{ctx: ctx, w: w, pace: p}
}

type paced struct {
	ctx  context.Context
	w    io.Writer
	pace *pace
}

// Write implements io.Writer, in steps of at most a tenth of a second.
func (l *paced) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		k := int(min(int64(len(b)), max(l.pace.rate/10, 1)))
		k, err = l.w.Write(b[:k])
		n, b = n+k, b[k:]
		if err == nil {
			err = l.pace.wait(l.ctx, k)
		}
	}
	return n, err
}
