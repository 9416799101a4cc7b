// Package owner keeps, for each guest, one fsynced record on each host that
// says who may run it. It is the authority that a move hands over; see
// migrate/handover for the order in which that happens.
//
// A host starts a guest only if its own record says so. The rules of the
// record are in this package and not with the callers, so that no path around
// them exists: an epoch never goes back, a committed move is never aborted,
// an aborted one never committed.
package owner

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// State is where a guest stands on one host.
type State string

// At the source of a move: Running, Prepared, Fenced, Released. At the target:
// Receiving, Ready, Committed, Running. Building is a guest whose provisioning
// has not finished. A Replica becomes Committed when it is promoted, and
// Receiving when the guest moves here.
const (
	Building  State = "building"  // being provisioned: nothing of it is of value yet
	Running   State = "running"   // this host may run it, whether it is up or not
	Prepared  State = "prepared"  // as Running, and a move to Peer is under way
	Fenced    State = "fenced"    // handed to Peer: never to be started here again
	Released  State = "released"  // as Fenced, and all that was to be put aside is aside
	Receiving State = "receiving" // a copy is arriving from Peer
	Ready     State = "ready"     // the copy is complete and verified
	Committed State = "committed" // the guest is ours; it is about to be started
	Aborted   State = "aborted"   // the move was given up; the copy is of no value
	Replica   State = "replica"   // a copy of what Peer runs is kept here, for the day on which Peer is gone
)

// Record says who may run a guest, as one host knows it.
type Record struct {
	UUID  uuid.UUID `json:"uuid"`
	State State     `json:"state"`
	// Epoch counts the owners: each hand-over adds one. Where two hosts
	// disagree, the higher epoch is right.
	Epoch uint64 `json:"epoch"`
	// Peer is the other host of a move, and Move its number; both are empty
	// in Building and Running. Of a Replica Peer is where the guest runs, Move
	// is empty and Epoch is the one of the copy.
	Peer string    `json:"peer,omitempty"`
	Move uuid.UUID `json:"move,omitzero"`
	// Live is a move in which the guest's memory goes too: from Prepared to
	// Fenced its domain is not stopped by us, and its toolstack may let it run
	// on after Fenced was written, until it has given the domain away.
	Live bool `json:"live,omitempty"`
	// Override is the word of an operator that ended a move on this host alone.
	Override Override `json:"override,omitzero"`
	// Since is when this state began. It is for people; nothing is decided by it.
	Since time.Time `json:"since"`
}

// ErrNotOwner: this host may not run or change the guest now.
var ErrNotOwner = errors.New("this host does not own the guest")

// ErrTransition: the change of the record would break the rules of a hand-over.
var ErrTransition = errors.New("not a legal change of the owner record")

// ErrOverride: an operator's word does not fit what it should end.
var ErrOverride = errors.New("not an override of this move")

// MayRun tells whether this host may start the guest: nil, or ErrNotOwner with
// the reason and what to do.
func (r Record) MayRun() error {
	switch r.State {
	case Running, Prepared:
		return nil
	case Fenced, Released:
		return fmt.Errorf("%w: it was handed to %s (epoch %d)", ErrNotOwner, r.Peer, r.Epoch)
	case Receiving, Ready, Committed:
		return fmt.Errorf("%w yet: a move from %s is %s; resume it", ErrNotOwner, r.Peer, r.State)
	case Aborted:
		return fmt.Errorf("%w: the move from %s was given up", ErrNotOwner, r.Peer)
	case Replica:
		return fmt.Errorf("%w: a replica of what runs on %s is kept here; promote it if %s is gone", ErrNotOwner, r.Peer, r.Peer)
	case Building:
		return fmt.Errorf("%w yet: its provisioning has not finished", ErrNotOwner)
	}
	return fmt.Errorf("%w: unknown state %q", ErrNotOwner, r.State)
}

// next lists the states that may follow a state. "" is no record.
func (s State) next() []State {
	switch s {
	case "":
		return []State{Building, Running, Receiving, Replica}
	case Building:
		return []State{Building, Running}
	case Running:
		return []State{Prepared}
	case Prepared:
		return []State{Running, Fenced}
	case Fenced:
		return []State{Released, Running, Receiving}
	case Released, Aborted:
		return []State{Receiving, Replica}
	case Replica:
		return []State{Replica, Receiving, Committed}
	case Receiving:
		// Receiving: another try by the same host. It can not have given up in a
		// move of which the copy was never Ready here.
		return []State{Ready, Aborted, Receiving}
	case Ready:
		return []State{Committed, Aborted}
	case Committed:
		return []State{Running, Fenced} // Fenced: an override on the other host has a newer epoch
	}
	return nil
}

// Check tells whether a host may replace r by to: nil or ErrTransition. The
// zero Record is "none". The same record again is always legal.
func (r Record) Check(to Record) error {
	refuse := func(why string) error {
		return fmt.Errorf("%w: %s (epoch %d) to %s (epoch %d): %s", ErrTransition, r.State, r.Epoch, to.State, to.Epoch, why)
	}
	same := r.State == to.State && r.Epoch == to.Epoch && r.Peer == to.Peer && r.Move == to.Move && r.Live == to.Live && r.Override == to.Override
	switch {
	case to.UUID == uuid.Nil:
		return refuse("no UUID")
	case r.State != "" && r.UUID != to.UUID:
		return refuse("another guest")
	case same:
		return nil
	case to.Epoch < r.Epoch || to.Epoch == 0:
		return refuse("the epoch would go back")
	case !slices.Contains(r.State.next(), to.State):
		return refuse("no such step")
	case r.overridden(to) != "":
		return refuse(r.overridden(to))
	}
	inMove := to.Peer != "" && to.Move != uuid.Nil
	switch to.State {
	case Building, Running:
		if to.Peer != "" || to.Move != uuid.Nil {
			return refuse("no move is under way in this state")
		}
	case Replica:
		if to.Peer == "" || to.Move != uuid.Nil {
			return refuse("a replica is of a host, and in no move")
		}
	default:
		if !inMove {
			return refuse("a move has a peer and a number")
		}
	}
	switch {
	case to.State == Fenced && to.Epoch != r.Epoch+1:
		return refuse("a hand-over adds one to the epoch")
	case to.State == Running && r.State == Fenced && to.Epoch <= r.Epoch:
		return refuse("a lifted fence needs a new epoch")
	case to.State == Receiving && (r.State == Fenced || r.State == Released) && to.Epoch <= r.Epoch:
		return refuse("what was handed away comes back with a new epoch only")
	case to.State == Committed && r.State == Replica && (to.Epoch != r.Epoch+1 || to.Peer != r.Peer):
		return refuse("a promotion adds one to the epoch of the copy, and names its host")
	case r.State == Replica || to.State == Replica: // its epoch follows the host that it is of
		return nil
	case r.State == Receiving && to.State == Receiving && to.Peer != r.Peer:
		return refuse("another host's move is under way")
	case r.inMove() && to.inMove() && to.State != Receiving && (to.Move != r.Move || to.Peer != r.Peer):
		return refuse("another move is under way")
	case r.inMove() && r.Move == to.Move && r.Live != to.Live:
		return refuse("a move does not become another kind of move")
	case to.Live && !to.inMove():
		return refuse("only a move is live")
	case r.epochOfOverride(to):
		return nil
	case to.State != Fenced && to.State != Receiving && r.State != Fenced && r.State != "" && to.Epoch != r.Epoch:
		return refuse("the epoch changes only when the owner does")
	}
	return nil
}

func (r Record) inMove() bool { return r.Move != uuid.Nil }
