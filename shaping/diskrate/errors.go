package diskrate

import (
	"errors"
	"fmt"
)

// ErrInvalid: a limit or a device is refused; nothing was tried.
var ErrInvalid = errors.New("invalid")

// Error says which operation failed on what.
type Error struct {
	Op   string // the verb, as "set"
	Name string // the path of the device, or ""
	Err  error
}

// Error reads as "diskrate: set /dev/guests/web1: file does not exist".
func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("diskrate: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("diskrate: %s %s: %v", e.Op, e.Name, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
