package host

import (
	"errors"
	"fmt"

	"github.com/xenhost/xenhost/xen/host/owner"
)

// What the standard errors and the packages below have no word for.
var (
	// ErrBusy: another operation holds the guest now.
	ErrBusy = errors.New("another operation holds the guest")
	// ErrInvalid: a definition is refused; nothing was tried.
	ErrInvalid = errors.New("invalid")
	// ErrForeign: a volume or name is in the way and not this guest's.
	ErrForeign = errors.New("exists and is not this guest's")
	// ErrSuspended: the guest is suspended; Unsuspend lets it start.
	ErrSuspended = errors.New("the guest is suspended")
	// ErrNotOwner: this host may not start or change the guest now.
	ErrNotOwner = owner.ErrNotOwner
)

// Error says which verb failed on which guest.
type Error struct {
	Op   string // the verb, as "start"
	Name string // the guest's name or UUID
	Err  error
}

// Error reads as "host: start web1: this host does not own the guest: it was handed to islay (epoch 2)".
func (e *Error) Error() string { return fmt.Sprintf("host: %s %s: %v", e.Op, e.Name, e.Err) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
