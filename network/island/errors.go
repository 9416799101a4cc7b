package island

import "fmt"

// Error says which operation failed on which guest's island. It wraps
// network.ErrInvalid and network.ErrForeign where they say why.
type Error struct {
	Op   string // the verb, as "set"
	Name string // the guest's UUID
	Err  error
}

// Error reads as "island: set 7f3a…: interface xenext: file does not exist".
func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("island: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("island: %s %s: %v", e.Op, e.Name, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
