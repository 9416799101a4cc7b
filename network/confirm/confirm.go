package confirm

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/xen/dom0"
)

// What the standard errors have no word for.
var (
	// ErrPending: a change waits for its confirmation.
	ErrPending = errors.New("a change waits for its confirmation")
	// ErrLate: the change was taken back, or is about to be.
	ErrLate = errors.New("too late: the change is taken back")
	// ErrUnroutable: the change would cut the way to the management.
	ErrUnroutable = errors.New("would cut the way to the management")
)

// Error says which operation failed.
type Error struct {
	Op  string // the verb, as "apply"
	Err error
}

// Error reads as "confirm: apply: 198.51.100.7 is reached through xenext: would cut the way to the management".
func (e *Error) Error() string { return fmt.Sprintf("confirm: %s: %v", e.Op, e.Err) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Err: err}
}

// Target is what is changed; a nil part is left alone.
type Target struct {
	Network network.Manager
	Guard   guard.Manager
	// NetNS is the path of the network namespace whose routes are kept; empty
	// is the one of the process.
	NetNS string
}

// State is what the parts of a Target should be; a nil part is left as it is.
type State struct {
	Network *network.State `json:"network,omitempty"`
	Guard   *guard.State   `json:"guard,omitempty"`
}

// Options of New.
type Options struct {
	// Keeper is the argv of a process that calls Keep. Required by Apply.
	Keeper []string
	// Dir holds what was confirmed and what is pending; empty is
	// /var/lib/xenhost/network. It must be on a disk that survives a power
	// failure.
	Dir string
	// Window is the time to confirm; 0 is one minute.
	Window time.Duration
	// Management are addresses that must stay reachable, as the operator's own
	// from SSH_CONNECTION. Their way is looked up before the change.
	Management []netip.Addr
	// Runner starts the keepers; nil is dom0.Local. It must be this machine.
	Runner dom0.Runner
	// Log gets what was done (Info); nil is silent.
	Log *slog.Logger
}

// Changer changes one host's network. All processes of a host that use the
// same Dir work together.
type Changer struct {
	target     Target
	keeper     []string
	dir        string
	window     time.Duration
	management []netip.Addr
	runner     dom0.Runner
	log        *slog.Logger
}

// New returns a Changer; it touches nothing yet.
func New(t Target, opts *Options) *Changer {
	if opts == nil {
		opts = &Options{}
	}
	c := &Changer{
		target: t, keeper: opts.Keeper, dir: opts.Dir, window: opts.Window,
		management: opts.Management, runner: opts.Runner, log: opts.Log,
	}
	if c.dir == "" {
		c.dir = "/var/lib/xenhost/network"
	}
	if c.window == 0 {
		c.window = time.Minute
	}
	if c.runner == nil {
		c.runner = dom0.Local{Log: opts.Log}
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Pending is a change that waits for its confirmation.
type Pending struct {
	ID uuid.UUID `json:"id"`
	// Left is the time until it is taken back.
	Left time.Duration `json:"left"`
}
