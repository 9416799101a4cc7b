package blockcopy

import (
	"context"
	"io"
	"time"
)

// limited returns w with at most limit bytes in a second through it; 0 is w.
func limited(ctx context.Context, w io.Writer, limit int64) io.Writer {
	if limit <= 0 {
		return w
	}
	return &limiter{ctx: ctx, w: w, limit: limit}
}

// limiter lets a write pass and then waits until its bytes had their time, so
// a pause of the source is not made up for by a burst.
type limiter struct {
	ctx   context.Context
	w     io.Writer
	limit int64
	next  time.Time // when the bytes so far have had their time
}

// Write implements io.Writer, in steps of at most a tenth of a second.
func (l *limiter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		k := int(min(int64(len(p)), max(l.limit/10, 1)))
		now := time.Now()
		if l.next.Before(now) {
			l.next = now
		}
		k, err = l.w.Write(p[:k])
		n, p = n+k, p[k:]
		if err != nil {
			return n, err
		}
		l.next = l.next.Add(time.Duration(float64(k) / float64(l.limit) * float64(time.Second)))
		wait := time.NewTimer(time.Until(l.next))
		select {
		case <-wait.C:
		case <-l.ctx.Done():
			wait.Stop()
			return n, l.ctx.Err()
		}
	}
	return n, nil
}
