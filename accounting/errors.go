package accounting

import "errors"

// What the standard errors have no word for.
var (
	// ErrInvalid: a value is refused; nothing was tried.
	ErrInvalid = errors.New("invalid")
	// ErrStale: a reading is not newer than the last one of its source.
	ErrStale = errors.New("not newer than what was read before")
	// ErrBehind: the other side has more than this ledger ever sent: this one
	// was restored from an old copy, or two ledgers use one name.
	ErrBehind = errors.New("the ledger is older than what it sent before")
)

// Error says which operation of the ledger failed, and for whom.
type Error struct {
	Op   string // as "fold"
	Name string // a source, guest or host; may be empty
	Err  error
}

// Error reads as "accounting: fold xen: not newer than what was read before".
func (e *Error) Error() string {
	if e.Name == "" {
		return "accounting: " + e.Op + ": " + e.Err.Error()
	}
	return "accounting: " + e.Op + " " + e.Name + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
