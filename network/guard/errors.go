package guard

import "fmt"

// Error says which operation failed on what. It wraps network.ErrInvalid,
// network.ErrConflict and network.ErrForeign where they say why.
type Error struct {
	Op   string // the verb, as "set"
	Name string // the guest's UUID
	Err  error
}

// Error reads as "guard: set 7f3a…: port eth0: an uplink of dom0: exists and is not ours".
func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("guard: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("guard: %s %s: %v", e.Op, e.Name, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
