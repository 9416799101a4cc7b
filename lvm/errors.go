package lvm

import (
	"errors"
	"fmt"
)

// What the standard errors have no word for. fs.ErrNotExist, fs.ErrExist and
// the context errors are used where they fit.
var (
	// ErrNoSpace: the group or pool has not enough free extents.
	ErrNoSpace = errors.New("not enough free space")
	// ErrSnapshotInvalid: the snapshot overflowed; its origin is unharmed.
	ErrSnapshotInvalid = errors.New("snapshot is invalid: it overflowed")
	// ErrBusy: something has the volume open.
	ErrBusy = errors.New("in use")
	// ErrInactive: the volume has no device node; Activate it.
	ErrInactive = errors.New("not active")
	// ErrUnwiped: the volume may still hold its last owner's data.
	ErrUnwiped = errors.New("not wiped yet")
	// ErrPoolFailed: a thin pool takes no writes any more.
	ErrPoolFailed = errors.New("thin pool takes no writes")
	// ErrAborted: Guard removed a snapshot before it did harm.
	ErrAborted = errors.New("snapshot was given up")
	// ErrInvalid: a name, size or tag is refused; nothing was tried.
	ErrInvalid = errors.New("invalid")
)

const (
	// TagWiping marks a volume that is being wiped.
	TagWiping = "xenhost.state=wiping"
	// TagOversell on a thin pool lets its volumes promise more than it holds.
	// CreatePool sets it if told to; Tag sets and clears it later.
	TagOversell = "xenhost.oversell=yes"
	// TagGrow and a volume's name mark what Grow wipes before it becomes part
	// of that volume; what a killed one left the next one removes.
	TagGrow = "xenhost.grow="
)

// Error says which operation failed on which volume.
type Error struct {
	Op   string // the verb, as "create"
	Name string // group/name, or the group
	Err  error
}

// Error reads as "lvm: create guests/web1: not enough free space (26 extents, needs 2304)".
func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("lvm: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("lvm: %s %s: %v", e.Op, e.Name, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

func unsupported(what string) error { return fmt.Errorf("%w: %s", errors.ErrUnsupported, what) }
