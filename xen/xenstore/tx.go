package xenstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
)

// Tx is a transaction: what it reads is of one moment, and what it writes is
// seen by others at once, when it ends. It is of use only while Update's
// function runs.
type Tx struct{ Nodes }

type transaction struct {
	id   uint32
	over atomic.Bool
}

// attempts is how often a transaction is tried. Each conflict means that
// somebody else got through, so this many in a row mean a loop.
const attempts = 64

// Update runs work in a transaction. If others changed what it had looked at,
// all is undone and work runs again, after a short random pause; so it must
// not change anything but the Tx. After 64 conflicts it is ErrConflict.
//
// An error of work undoes the transaction and is returned as it is. When nil
// is returned, all was written. When another error is returned, and the
// connection was lost in that moment, it may have been written: read it.
func (c *Client) Update(ctx context.Context, work func(tx *Tx) error) error {
	for try := range attempts {
		err := c.try(ctx, work)
		if !errors.Is(err, errRetry) {
			return err
		}
		pause := time.Duration(rand.Int64N(int64(time.Millisecond) << min(try, 4)))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return wrap("update", "", ctx.Err())
		}
	}
	return wrap("update", "", fmt.Errorf("%w, %d times", ErrConflict, attempts))
}

// errRetry: the transaction met a conflict.
var errRetry = errors.New("conflict")

func (c *Client) try(ctx context.Context, work func(tx *Tx) error) error {
	tx, err := c.start(ctx)
	if err != nil {
		return wrap("start a transaction", "", err)
	}
	defer c.undo(tx) // also when work panics
	if err := work(&Tx{Nodes{c: c, tx: tx}}); err != nil {
		return err
	}
	tx.over.Store(true)
	_, err = c.call(ctx, wire.Message{Op: wire.End, Tx: tx.id, Body: wire.Join("T")}, nil)
	if err != nil && ctx.Err() != nil {
		c.abandon(tx) // that may not have been sent; of one that has ended xenstored knows nothing
	}
	if errors.Is(err, ErrConflict) {
		return errRetry
	}
	return wrap("update", "", err)
}

func (c *Client) start(ctx context.Context) (*transaction, error) {
	body, err := c.call(ctx, wire.Message{Op: wire.Start, Body: wire.Join("")}, func(body []byte) {
		if tx, err := parseTx(body); err == nil {
			c.undo(tx)
		}
	})
	if err != nil {
		return nil, err
	}
	return parseTx(body)
}

func parseTx(body []byte) (*transaction, error) {
	id, err := strconv.ParseUint(strings.TrimSuffix(string(body), "\x00"), 10, 32)
	if err != nil || id == 0 {
		return nil, fmt.Errorf("xenstored answers with the transaction %q", body[:min(len(body), 64)])
	}
	return &transaction{id: uint32(id)}, nil
}

// undo ends a transaction without effect, if it has not ended.
func (c *Client) undo(tx *transaction) {
	if !tx.over.Swap(true) {
		c.abandon(tx)
	}
}

// abandon tells xenstored to forget a transaction.
func (c *Client) abandon(tx *transaction) {
	// The caller's context may have ended; xenstored forgets the transaction
	// anyway when the connection ends, so an error has no consequence.
	_, _ = c.call(context.Background(), wire.Message{Op: wire.End, Tx: tx.id, Body: wire.Join("F")}, nil)
}
