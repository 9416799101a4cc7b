package replica

import (
	"errors"
	"fmt"

	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// What the standard errors and the packages below have no word for.
var (
	// ErrDiffers: a copy that was read again is not equal to what it is of. The
	// peer was told; the next run compares all of it.
	ErrDiffers = blockcopy.ErrDiffers
	// ErrSuperseded: the peer has a replica of a later owner of the guest.
	ErrSuperseded = errors.New("superseded by another host's replica")
	// ErrUnproven: nothing proves that the host that a replica is of can not run
	// the guest.
	ErrUnproven = errors.New("it is not proven that its host is off")
	// ErrDoubtful: the generation was compared with the source and differed.
	ErrDoubtful = errors.New("the replica is known to differ from its source")
)

// Error says which verb failed on which guest.
type Error struct {
	Op   string // the verb, as "replicate"
	Name string // the guest's name or UUID
	Err  error
}

// Error reads as "replica: replicate web1: ...".
func (e *Error) Error() string { return fmt.Sprintf("replica: %s %s: %v", e.Op, e.Name, e.Err) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
