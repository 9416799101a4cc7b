// Package pace limits how many bytes pass in a second.
package pace

import (
	"context"
	"io"
	"time"

	"golang.org/x/time/rate"
)

// Limit is how many bytes a second all writers that share it may write
// together. A pause is not made up for by a burst of more than a tenth of a
// second. nil is no limit. It is safe for concurrent use.
type Limit struct{ limiter *rate.Limiter }

// New returns a limit in bytes per second; of 0 or less there is none.
func New(bytes int64) *Limit {
	if bytes <= 0 {
		return nil
	}
	l := rate.NewLimiter(rate.Limit(bytes), int(min(max(bytes/10, 1), 1<<20)))
	l.AllowN(time.Now(), l.Burst()) // nor is the beginning a burst
	return &Limit{l}
}

// Writer returns w within the limit. A Write that waits ends with ctx's error.
func (l *Limit) Writer(ctx context.Context, w io.Writer) io.Writer {
	if l == nil {
		return w
	}
	return &writer{ctx: ctx, w: w, limiter: l.limiter}
}

type writer struct {
	ctx     context.Context
	w       io.Writer
	limiter *rate.Limiter
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		k := min(len(p), w.limiter.Burst())
		if err = w.limiter.WaitN(w.ctx, k); err == nil {
			k, err = w.w.Write(p[:k])
			n, p = n+k, p[k:]
		}
	}
	return n, err
}
