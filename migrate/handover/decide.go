package handover

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Way is the direction in which an interrupted hand-over ends.
type Way string

// The ways. A hand-over that was fenced goes forward unless the target has
// given it up; every other one goes back.
const (
	Nothing Way = "nothing" // no hand-over is open
	Back    Way = "back"    // the source keeps the guest
	Forward Way = "forward" // the target gets it
	Retract Way = "retract" // the target gives it up, then the source gets it back: a live one that ran on there
	Lift    Way = "lift"    // the source gets it back with a new epoch: the target gave it up durably
	Yield   Way = "yield"   // both have a record of owning it: the lower epoch, the source, gives in
	Drop    Way = "drop"    // an override: what had arrived is of no value
)

// ErrConflict: the records of the two hosts contradict each other in a way
// that no crash of a move leaves. Nothing is started or removed; a person has
// to look.
var ErrConflict = errors.New("the records of the two hosts contradict each other")

// Verdict is what the records of two hosts say about a hand-over.
type Verdict struct {
	Way Way
	// Source is 0 or 1: which of the two given is the one that gives the guest
	// away, gets it back or keeps it. The other one is the target.
	Source int
	Why    string // in words
}

// Decide is the whole rule of how an interrupted hand-over ends. It reads what
// two hosts show while the guest is held on both, in any order, and nothing
// else; there is no memory of steps done. fs.ErrNotExist: neither knows the
// guest.
func Decide(a, b Seen) (Verdict, error) {
	if a.Record.State == "" && b.Record.State == "" {
		return Verdict{}, fs.ErrNotExist
	}
	for _, p := range [2][2]Seen{{a, b}, {b, a}} {
		if r := p[0].Record; open(r.State) && r.Peer != p[1].Host {
			return Verdict{}, fmt.Errorf("%w: on %s it is %s in a move with %s, not with %s: resume it with that host",
				ErrConflict, p[0].Host, r.State, r.Peer, p[1].Host)
		}
	}
	for i, p := range [2][2]Seen{{a, b}, {b, a}} {
		if way, why := between(p[0], p[1]); way != "" {
			return Verdict{Way: way, Source: i, Why: why}, nil
		}
	}
	return Verdict{}, fmt.Errorf("%w: %s says %s, %s says %s", ErrConflict, a.Host, describe(a.Record), b.Host, describe(b.Record))
}

// open tells that a record is in the middle of a move with its peer.
func open(s owner.State) bool {
	switch s {
	case owner.Prepared, owner.Receiving, owner.Ready, owner.Committed:
		return true
	}
	return false
}

// between says how it goes on with source and target in these roles, or ""
// if that is no pair that a move leaves.
func between(source, target Seen) (Way, string) {
	s, t := source.Record, target.Record
	same := s.Epoch == t.Epoch && s.Move == t.Move
	switch s.State {
	case owner.Running, owner.Prepared:
		switch t.State {
		case owner.Running, owner.Prepared, owner.Committed:
			if s.Epoch < t.Epoch {
				return Yield, fmt.Sprintf("both have a record of owning it, and %s has the higher epoch", target.Host)
			}
			return "", ""
		case owner.Receiving, owner.Ready:
			return Back, source.Host + " never gave it up"
		case owner.Fenced, owner.Released:
			if t.Epoch > s.Epoch {
				return "", ""
			}
			if s.State == owner.Running && t.State == owner.Fenced {
				return "", "" // the other way round: t is a source that has not finished
			}
		case owner.Building:
			return "", ""
		}
		if s.State == owner.Prepared {
			return Back, source.Host + " never gave it up"
		}
		return Nothing, source.Host + " owns it and no move is open"

	case owner.Fenced:
		switch t.State {
		case owner.Ready, owner.Committed:
			if same && s.Live && t.State == owner.Ready && !given(source) {
				return Retract, source.Host + " did not give the domain away: it ran on there, or may have"
			}
			if same {
				return Forward, source.Host + " gave it up and " + target.Host + " has all of it"
			}
		case owner.Running:
			if t.Epoch >= s.Epoch {
				return Forward, target.Host + " owns it"
			}
		case owner.Aborted:
			if same {
				return Lift, target.Host + " gave it up durably"
			}
		}
		return elsewhere(source, target)

	case owner.Committed:
		if t.State == owner.Running && t.Epoch > s.Epoch {
			return Yield, fmt.Sprintf("%s had committed, and %s has a higher epoch: an operator's override", source.Host, target.Host)
		}

	case owner.Released:
		if t.State == owner.Committed && same {
			return Forward, target.Host + " has committed"
		}
		return elsewhere(source, target)

	case owner.Building, owner.Aborted, "":
		switch {
		case t.State == owner.Committed && s.State != owner.Building && t.Epoch >= s.Epoch:
			return Forward, target.Host + " has committed"
		case s.State == owner.Building && (t.State == "" || t.State == owner.Aborted):
			return Nothing, "its provisioning on " + source.Host + " has not finished: terminate it or provision it again"
		case s.State == owner.Aborted && (t.State == "" || t.State == owner.Aborted):
			return Nothing, "a move to " + source.Host + " was given up and nothing is left of it"
		}
	}
	return "", ""
}

// given tells that the domain of a source can not go on there: its toolstack
// has given it away, or died when it was suspended. Where there is no domain any
// more, nobody knows what it wrote before it went.
func given(source Seen) bool {
	d := source.Domain
	return d != nil && (d.State == xen.Suspended || d.State == xen.Paused && strings.HasSuffix(d.Name, xen.AwaySuffix))
}

// elsewhere is for a source that handed the guest to a third host.
func elsewhere(source, target Seen) (Way, string) {
	s, t := source.Record, target.Record
	if s.Peer == target.Host || t.Epoch > s.Epoch && t.Peer == source.Host {
		return "", ""
	}
	switch t.State {
	case "", owner.Aborted, owner.Released, owner.Fenced, owner.Replica:
		return Nothing, "it was handed to " + s.Peer
	}
	return "", ""
}

func describe(r owner.Record) string {
	switch {
	case r.State == "":
		return "nothing"
	case r.Peer == "":
		return fmt.Sprintf("%s (epoch %d)", r.State, r.Epoch)
	}
	return fmt.Sprintf("%s (epoch %d, with %s)", r.State, r.Epoch, r.Peer)
}
