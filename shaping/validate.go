package shaping

import (
	"fmt"
	"io/fs"

	"github.com/google/uuid"
)

// Validate says what a host would refuse about s without looking at a host:
// ErrInvalid for what no host takes, ErrConflict for a vif that two guests
// want, ErrOvercommitted for an uplink that promises more than it has,
// fs.ErrNotExist for uploads without an uplink.
func (s State) Validate() error {
	if err := s.validate(s.Guests); err != nil {
		return &Error{Op: "validate", Err: err}
	}
	return nil
}

// validate looks at the guests that change, so that what is wrong with another
// one does not stand in their way.
func (s State) validate(changed []Guest) error {
	if err := s.Uplink.validate(); err != nil {
		return err
	}
	changes := map[string]uuid.UUID{}
	for _, g := range changed {
		for _, v := range g.Vifs {
			changes[v] = g.UUID
		}
	}
	for _, g := range s.Guests {
		for _, v := range g.Vifs {
			if id, ok := changes[v]; ok && id != g.UUID {
				return fmt.Errorf("vif %s of guest %v belongs to guest %v: %w", v, id, g.UUID, ErrConflict)
			}
		}
	}
	seen := map[uuid.UUID]bool{}
	for _, g := range changed {
		if seen[g.UUID] {
			return fmt.Errorf("guest %v is named twice: %w", g.UUID, ErrInvalid)
		}
		seen[g.UUID] = true
		if err := g.validate(s.Uplink); err != nil {
			return fmt.Errorf("guest %v: %w", g.UUID, err)
		}
	}
	return s.promises(changed)
}

// promises refuses guests for which the uplink has not enough left. A throttled
// guest keeps what it was promised, so that the throttle can come off.
func (s State) promises(changed []Guest) error {
	asks := false
	for _, g := range changed {
		asks = asks || g.Policy.Upload != 0
	}
	sum := s.Uplink.Dom0
	for _, g := range s.Guests {
		sum += g.Policy.Upload
	}
	if asks && sum > s.Uplink.Rate {
		return fmt.Errorf("uplink %s of %v would promise %v, dom0's %v included: %w",
			s.Uplink.Dev, s.Uplink.Rate, sum, s.Uplink.Dom0, ErrOvercommitted)
	}
	return nil
}

func (u Uplink) validate() error {
	if u == (Uplink{}) {
		return nil
	}
	if err := validName(u.Dev); err != nil {
		return err
	}
	for _, r := range []Rate{u.Rate, u.Dom0} {
		if r == 0 {
			return fmt.Errorf("uplink %s without a rate: %w", u.Dev, ErrInvalid)
		}
		if err := r.valid(); err != nil {
			return fmt.Errorf("uplink %s: %w", u.Dev, err)
		}
	}
	if u.Dom0 > u.Rate {
		return fmt.Errorf("uplink %s of %v promises %v to dom0: %w", u.Dev, u.Rate, u.Dom0, ErrOvercommitted)
	}
	return nil
}

func (g Guest) validate(u Uplink) error {
	if g.UUID == uuid.Nil {
		return fmt.Errorf("it has no UUID: %w", ErrInvalid)
	}
	if len(g.Vifs) == 0 {
		return fmt.Errorf("it has no vif: %w", ErrInvalid)
	}
	for _, v := range g.Vifs {
		if err := validName(v); err != nil {
			return err
		}
		if v == u.Dev {
			return fmt.Errorf("%s is the uplink, not a vif: %w", v, ErrConflict)
		}
	}
	if err := g.Policy.validate(); err != nil {
		return err
	}
	if err := g.Throttle.validate(); err != nil {
		return err
	}
	if (g.Policy.Upload != 0 || g.Policy.Ceil != 0) && u == (Uplink{}) {
		return fmt.Errorf("its upload needs an uplink; apply a state that has one: %w", fs.ErrNotExist)
	}
	return nil
}

// validName allows what the kernel and Xen's scripts read alike.
func validName(name string) error {
	ok := len(name) > 0 && len(name) <= 15 && name[0] != '-' && name[0] != '.'
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	if !ok {
		return fmt.Errorf("interface name %q (1 to 15 letters, digits, dots, dashes): %w", name, ErrInvalid)
	}
	return nil
}
