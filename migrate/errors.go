package migrate

import (
	"errors"
	"fmt"

	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// What the standard errors and the packages below have no word for.
var (
	// ErrInterrupted: a move stands in the middle. Resume ends it; until then
	// no host starts the guest against the other's right.
	ErrInterrupted = errors.New("interrupted")
	// ErrUnreachable: the connection to the other host ended or does not
	// answer. Whether the call took effect there is not known.
	ErrUnreachable = errors.New("the other host does not answer")
	// ErrProtocol: the other end of a connection is not, or not a good, peer.
	ErrProtocol = errors.New("not the protocol of this package")
	// ErrRefused: the plan of a move has problems; nothing was changed.
	ErrRefused = errors.New("the move is not possible now")
	// ErrNotOwner: the host may not give the guest away.
	ErrNotOwner = owner.ErrNotOwner
	// ErrConflict: the records of two hosts contradict each other; see
	// handover.ErrConflict.
	ErrConflict = handover.ErrConflict
)

// Error says which verb failed on which guest or host.
type Error struct {
	Op   string // the verb, as "move"
	Name string // the guest's name or UUID, or the host
	Err  error
}

// Error reads as "migrate: move web1: verify xvda on islay: ...".
func (e *Error) Error() string { return fmt.Sprintf("migrate: %s %s: %v", e.Op, e.Name, e.Err) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
