package owner

import (
	"fmt"

	"github.com/google/uuid"
)

// Vouch is what an operator vouches for.
type Vouch string

// What can be vouched for. Both mean that nothing of the host runs now; what
// differs is whether it can come back.
const (
	PoweredOff Vouch = "powered off" // and it is not switched on before somebody has seen to it
	Destroyed  Vouch = "destroyed"   // it never comes back
)

// Override is an operator's word that the other host of a move runs nothing,
// which no program can know. It ends the move on this host alone. The record
// keeps it until the next move; the epoch that it adds makes this host's record
// the newer one when the other host comes back.
type Override struct {
	Host  string `json:"host"` // the other host, as the operator typed it
	Vouch Vouch  `json:"vouch"`
}

// Validate refuses words that vouch for nothing.
func (o Override) Validate() error {
	switch {
	case o.Host == "":
		return fmt.Errorf("%w: an override names the other host", ErrOverride)
	case o.Vouch != PoweredOff && o.Vouch != Destroyed:
		return fmt.Errorf("%w: vouch for %q: it is %q or %q", ErrOverride, o.Vouch, PoweredOff, Destroyed)
	}
	return nil
}

// overridden says why an operator's word does not cover the step from r to to.
func (r Record) overridden(to Record) (why string) {
	switch {
	case to.Override == (Override{}):
		return ""
	case to.State != Running && to.State != Committed && to.State != Aborted:
		return "an override ends a move"
	case to.Override == r.Override: // the one that began this
		return ""
	case to.Override.Validate() != nil:
		return "the override vouches for nothing"
	case r.Move == uuid.Nil && r.State != Replica || to.Override.Host != r.Peer:
		return "the override names a host that is not the other one of this move or replica"
	}
	return ""
}

// epochOfOverride tells whether the step is one by which an operator's word
// adds an epoch.
func (r Record) epochOfOverride(to Record) bool {
	return to.Override != (Override{}) && to.State == Running && r.Move != uuid.Nil && to.Epoch == r.Epoch+1
}

// Supersedes tells that a record on another host forbids what r allows here: a
// host that owns the guest, or has handed it on, since a newer epoch.
func (r Record) Supersedes(here Record) bool {
	switch r.State {
	case Running, Prepared, Committed, Fenced, Released:
		return r.UUID == here.UUID && r.Epoch > here.Epoch
	}
	return false // what arrives there, or was given up, is no claim
}
