package network

import (
	"errors"
	"fmt"
)

// What the standard errors have no word for.
var (
	// ErrForeign: something that does not carry our mark stands in the way.
	ErrForeign = errors.New("exists and is not ours")
	// ErrConflict: two guests want the same port, address or name.
	ErrConflict = errors.New("already taken")
	// ErrReserved: the forward would take a port that dom0 itself listens on.
	ErrReserved = errors.New("dom0 itself needs this port")
	// ErrInvalid: a name, address or port is refused; nothing was tried.
	ErrInvalid = errors.New("invalid")
)

// Error says which operation failed on what.
type Error struct {
	Op   string // the verb, as "set"
	Name string // the guest's UUID, a bridge, a forward
	Err  error
}

// Error reads as "network: set 7f3a…: tcp port 22: dom0 itself needs this port".
func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("network: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("network: %s %s: %v", e.Op, e.Name, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
