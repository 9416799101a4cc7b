package replica

import (
	"context"
	"io"
	"sync"
	"time"
)

// Limit is a rate in bytes per second that several runs share: whoever writes
// waits until its bytes, and those of the others before it, had their time. nil
// is no limit. It is safe for concurrent use.
type Limit struct {
	rate int64
	mu   sync.Mutex
	next time.Time // when what was let through has had its time
}

// NewLimit returns a limit of that many bytes in a second; 0 is none.
func NewLimit(bytes int64) *Limit {
	if bytes <= 0 {
		return nil
	}
	return &Limit{rate: bytes}
}

// step is how much of a write is let through at once.
func (l *Limit) step() int { return int(max(min(l.rate/10, 1<<20), 1)) }

// wait returns when n bytes more may go. A pause is not made up for by a burst.
func (l *Limit) wait(ctx context.Context, n int) error {
	l.mu.Lock()
	now := time.Now()
	if l.next.Before(now) {
		l.next = now
	}
	at := l.next
	l.next = at.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	l.mu.Unlock()
	if !at.After(now) {
		return ctx.Err()
	}
	timer := time.NewTimer(at.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// limited is a connection whose writes wait for a limit.
type limited struct {
	io.ReadWriteCloser
	ctx   context.Context
	limit *Limit
}

// Write implements io.Writer.
func (c limited) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		k := min(len(p), c.limit.step())
		if err := c.limit.wait(c.ctx, k); err != nil {
			return n, err
		}
		k, err = c.ReadWriteCloser.Write(p[:k])
		n, p = n+k, p[k:]
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
