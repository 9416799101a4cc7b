package accounting

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/google/uuid"
)

// Query says which rows are wanted.
type Query struct {
	Guest    uuid.UUID // whose; the zero UUID is the host itself
	All      bool      // instead: of every guest, and of hosts
	From, To time.Time // rows that begin in [From, To)
	// Step is how much time a row holds: SlotLength (also 0), an hour or a day,
	// in UTC. What was read so long ago that only a longer step is left comes in
	// that step.
	Step time.Duration
}

// Parcel is what a ledger sends to one that collects many: rows as they are now,
// not differences, and the number of the last change that is in them. Whoever
// has that number has these rows or newer ones.
type Parcel struct {
	Host string `json:"host"` // who sends; names one ledger for ever
	Seq  uint64 `json:"seq"`
	Rows []Row  `json:"rows"`
}

// Reader answers questions about a ledger.
type Reader interface {
	// Rows returns rows ordered by guest and start; those of several hosts that
	// a guest was on are added up.
	Rows(ctx context.Context, q Query) iter.Seq2[Row, error]
	// Freeze keeps a statement as it was billed. If there is one of the same
	// guest and period, that one is returned and stays, whatever the ledger has
	// learned since; one with other terms, or of a period that overlaps, is
	// fs.ErrExist.
	Freeze(ctx context.Context, s Statement) (Statement, error)
	// Frozen returns the statement of a period that begins then; fs.ErrNotExist.
	Frozen(ctx context.Context, guest uuid.UUID, start time.Time) (Statement, error)
}

// Sink collects the rows of many ledgers.
type Sink interface {
	// Push takes a parcel, or has it already. It returns the number of the last
	// change that it has of this host for good; pushing again is harmless.
	Push(ctx context.Context, p Parcel) (acked uint64, err error)
}

// Store is a host's ledger: sqlite.Store and accountingtest.Memory.
type Store interface {
	Reader
	Sink
	io.Closer
	// Fold takes a reading in, whole or not at all: rows and where the counters
	// stand are one transaction. ErrStale: it has it, or a newer one, already.
	Fold(ctx context.Context, r Reading) error
	// Totals returns, by guest, all that this host counted since the ledger was
	// made, whatever was pruned since. It never falls.
	Totals(ctx context.Context) ([]Row, error)
	// Pending returns what was not sent yet, up to about limit rows; a parcel
	// without rows is none. Sent takes the number that the sink returned;
	// ErrBehind: the sink has more than this ledger ever sent.
	Pending(ctx context.Context, limit int) (Parcel, error)
	Sent(ctx context.Context, acked uint64) error
	// Prune makes longer steps of rows that are older than the policy says.
	Prune(ctx context.Context, now time.Time, keep Retention) error
	// Quotas returns the quotas of all guests, SetQuota writes one down; one
	// without Limit is removed.
	Quotas(ctx context.Context) ([]Quota, error)
	SetQuota(ctx context.Context, q Quota) error
}

// Retention says how long rows are kept in which step; days are kept for ever.
type Retention struct {
	Slots time.Duration // 0 is 65 days: two months, and time to bill
	Hours time.Duration // 0 is 400 days
}

// Bounds returns the times before which slots and hours are given up.
func (r Retention) Bounds(now time.Time) (slots, hours time.Time) {
	const day = 24 * time.Hour
	if r.Slots == 0 {
		r.Slots = 65 * day
	}
	if r.Hours == 0 {
		r.Hours = 400 * day
	}
	return now.Add(-r.Slots).UTC().Truncate(day), now.Add(-r.Hours).UTC().Truncate(day)
}
