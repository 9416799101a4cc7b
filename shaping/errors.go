package shaping

import (
	"errors"
	"fmt"
)

// What the standard errors have no word for.
var (
	// ErrForeign: a queue that does not carry our mark stands on the interface.
	ErrForeign = errors.New("exists and is not ours")
	// ErrConflict: two guests want the same vif.
	ErrConflict = errors.New("already taken")
	// ErrOvercommitted: the uplink would promise more than it has. Give guests
	// less Upload and a Ceil.
	ErrOvercommitted = errors.New("the uplink has no more to promise")
	// ErrInvalid: a rate, policy or name is refused; nothing was tried.
	ErrInvalid = errors.New("invalid")
)

// Error says which operation failed on what.
type Error struct {
	Op   string // the verb, as "set"
	Name string // the guest's UUID, or ""
	Err  error
}

// Error reads as "shaping: set 7f3a…: uplink eth0: the uplink has no more to promise".
func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("shaping: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("shaping: %s %s: %v", e.Op, e.Name, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
