package xenstore

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
)

// send writes one message, alone. A message that was written in part ends the
// connection: what follows could not be told from the rest of it.
func (c *Client) send(ctx context.Context, m wire.Message) error {
	select {
	case c.writing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return c.Err()
	}
	defer func() { <-c.writing }()
	n, err := c.write(ctx, m.Append(nil))
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case n == 0 && ctx.Err() != nil:
		return ctx.Err()
	case c.device && errors.As(err, &errno):
		return errnoMeaning(errno) // the kernel refused this request, and only this one
	}
	c.lose(err)
	return c.Err()
}

// write returns when all is written, or ctx has ended and the connection can
// be interrupted.
func (c *Client) write(ctx context.Context, b []byte) (int, error) {
	conn, ok := c.conn.(interface{ SetWriteDeadline(time.Time) error })
	if !ok {
		return c.conn.Write(b)
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetWriteDeadline(time.Unix(1, 0)) // the past; not every file can do it
		close(interrupted)
	})
	n, err := c.conn.Write(b)
	if !stop() {
		<-interrupted
		_ = conn.SetWriteDeadline(time.Time{})
	}
	return n, err
}
