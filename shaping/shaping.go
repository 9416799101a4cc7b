package shaping

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// State is what limits a host's traffic should have, or has, as far as they
// carry our mark. Read returns it normalised: sorted, defaults filled in.
type State struct {
	Uplink Uplink  `json:"uplink,omitzero"` // the zero Uplink is none: uploads can not be limited
	Guests []Guest `json:"guests,omitempty"`
}

// Uplink is the interface through which guests send to the world: the host's
// network card, not the bridge above it.
type Uplink struct {
	Dev string `json:"dev"`
	// Rate is what the line carries. A little less than the switch's port (950mbit
	// of 1gbit) keeps the queue on this host, where it is shared fairly.
	Rate Rate `json:"rate"`
	// Dom0 is promised to dom0 and to all that belongs to no guest; it may use
	// the whole line when guests leave it. 0 is a tenth of Rate.
	Dom0 Rate `json:"dom0"`
}

// Guest is a guest's share.
type Guest struct {
	UUID     uuid.UUID `json:"uuid"`
	Vifs     []string  `json:"vifs"` // names in dom0, at least one; they need not exist yet
	Policy   Policy    `json:"policy"`
	Throttle Throttle  `json:"throttle,omitzero"`
}

// Counter is what has passed for a guest. Bytes are those of the wire, each
// frame with its Ethernet header; they begin at 0 when the limit is first set
// (for Download: when the vif is made), and a changed limit keeps them.
type Counter struct {
	UUID     uuid.UUID `json:"uuid"`
	Download Flow      `json:"download"` // zero where there is no limit to count
	Upload   Flow      `json:"upload"`   // what left through the uplink
	Send     Flow      `json:"send"`     // what its vifs sent to anyone; zero without Policy.Send
}

// Flow is one direction of a Counter.
type Flow struct {
	Bytes   uint64 `json:"bytes"`
	Packets uint32 `json:"packets"` // wraps
	Drops   uint32 `json:"drops"`   // wraps
	Backlog uint32 `json:"backlog"` // bytes that wait now
}

// Manager keeps the rates of a host: Linux and shapingtest.Fake.
type Manager interface {
	// Read returns what is there and carries our mark. A guest whose limits
	// are not in force as they were set, because its vif is new or somebody
	// changed them, shows without policy and throttle.
	Read(ctx context.Context) (State, error)
	// Apply makes the host's rates as want says and reads them back. Only what
	// carries our mark is changed or removed; a queue on an interface that is
	// not ours is ErrForeign. Diff tells beforehand what Apply would do.
	Apply(ctx context.Context, want State) (Plan, error)
	// Set makes one guest's part as want says; other guests' parts stay as
	// they are, whoever changes them at the same time. A throttle whose time
	// is over is left out.
	Set(ctx context.Context, want Guest) error
	// Remove removes a guest's part; there being none is no error.
	Remove(ctx context.Context, id uuid.UUID) error
	// Refresh puts limits on vifs that were made since, and takes throttles off
	// whose time is over. It returns when the next one ends, or the zero Time.
	Refresh(ctx context.Context) (next time.Time, err error)
	// Counters returns what has passed, ordered by UUID.
	Counters(ctx context.Context) ([]Counter, error)
}
