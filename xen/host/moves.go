package host

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// MovePolicy says which moves a guest may make.
type MovePolicy string

// The policies.
const (
	AnyMove MovePolicy = ""
	// NeverLive is for a guest that must not wake up on another machine: it is
	// moved powered off, and boots there.
	NeverLive MovePolicy = "never-live"
)

// ErrNeverLive: the guest's own policy forbids that its memory is moved.
var ErrNeverLive = errors.New("the guest is never to be moved live")

// MayMoveLive is nil, or ErrNeverLive.
func (g Guest) MayMoveLive() error {
	if g.Moves == NeverLive {
		return fmt.Errorf("%w: its definition says %s", ErrNeverLive, NeverLive)
	}
	return nil
}

func (p MovePolicy) validate() error {
	if p != AnyMove && p != NeverLive {
		return fmt.Errorf("%w: moves %q", ErrInvalid, string(p))
	}
	return nil
}

var systemForm = regexp.MustCompile(`^([a-z]{1,16})(?: ([0-9]{1,5})(?:\.([0-9]{1,5}))?(?:\.([0-9]{1,5}))?)?$`)

// ParseSystem reads Guest.System. A number that is not there is 0, and release
// is all 0 where none is told.
func ParseSystem(s string) (name string, release [3]int, err error) {
	m := systemForm.FindStringSubmatch(s)
	if m == nil {
		return "", release, fmt.Errorf("%w: system %q, not a word and a release as in %q", ErrInvalid, s, "linux 4.19.17")
	}
	for i, n := range m[2:] {
		release[i], _ = strconv.Atoi(n) // digits, or nothing
	}
	return m[1], release, nil
}

// SetMoves writes down which moves a guest may make and what it runs; see Guest.
func (h *Host) SetMoves(ctx context.Context, id uuid.UUID, policy MovePolicy, system string) error {
	l, err := h.Hold(id)
	if err != nil {
		return err
	}
	defer l.Release()
	err = ctx.Err()
	if err == nil {
		_, err = l.redefine(func(g *Guest) { g.Moves, g.System = policy, strings.ToLower(system) }, nil)
	}
	if err != nil {
		return &Error{Op: "set moves of", Name: l.name(), Err: err}
	}
	return nil
}

// redefine changes the definition of a guest that this host may run; in force
// is called before it is kept.
func (l *Hold) redefine(change func(*Guest), inForce func(Guest) error) (Guest, error) {
	r, err := l.Record()
	if err == nil {
		err = r.MayRun()
	}
	if err != nil {
		return Guest{}, err
	}
	g, err := l.h.guests.get(l.id, own)
	if err != nil {
		return Guest{}, err
	}
	change(&g)
	if err := g.Validate(); err != nil {
		return g, err
	}
	if inForce != nil {
		if err := inForce(g); err != nil {
			return g, err
		}
	}
	return g, l.h.guests.put(g, own)
}
