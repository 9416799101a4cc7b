package shaping

import (
	"fmt"
	"strings"
	"time"
)

// Throttle holds a guest below its policy for a while, as when it has used up
// its traffic: neither direction is faster than Rate. The zero Throttle is none.
type Throttle struct {
	Rate  Rate      `json:"rate,omitzero"`
	Until time.Time `json:"until,omitzero"` // whole seconds; the zero Time is until it is taken off
}

// over reports whether the throttle's time has passed.
func (t Throttle) over(now time.Time) bool {
	return !t.Until.IsZero() && !now.Before(t.Until)
}

// Validate refuses a throttle that no host can keep: ErrInvalid.
func (t Throttle) Validate() error {
	if err := t.validate(); err != nil {
		return &Error{Op: "validate", Err: err}
	}
	return nil
}

func (t Throttle) validate() error {
	if t.Rate == 0 && !t.Until.IsZero() {
		return fmt.Errorf("throttle without a rate: %w", ErrInvalid)
	}
	if y := t.Until.Year(); y > 9999 {
		return fmt.Errorf("throttle until the year %d: %w", y, ErrInvalid)
	}
	return t.Rate.valid()
}

func (t Throttle) normalize() Throttle {
	if !t.Until.IsZero() {
		t.Until = t.Until.UTC().Truncate(time.Second)
	}
	return t
}

// String prints "throttle 1mbit until 2026-12-01T00:00:00Z", or "" for none.
func (t Throttle) String() string {
	switch {
	case t == Throttle{}:
		return ""
	case t.Until.IsZero():
		return "throttle " + t.Rate.String()
	}
	return "throttle " + t.Rate.String() + " until " + t.Until.UTC().Format(time.RFC3339)
}

// parseThrottle reads the words that String prints.
func parseThrottle(words []string) (t Throttle, err error) {
	switch {
	case len(words) == 0:
		return t, nil
	case len(words) == 4 && words[2] == "until":
		if t.Until, err = time.Parse(time.RFC3339, words[3]); err != nil {
			return Throttle{}, fmt.Errorf("time %q: %w", words[3], ErrInvalid)
		}
	case len(words) != 2:
		return t, fmt.Errorf("throttle %q: %w", strings.Join(words, " "), ErrInvalid)
	}
	if t.Rate, err = ParseRate(words[1]); err != nil {
		return Throttle{}, err
	}
	t = t.normalize()
	if words[0] != "throttle" || t.Rate == 0 {
		return Throttle{}, fmt.Errorf("throttle %q: %w", strings.Join(words, " "), ErrInvalid)
	}
	return t, t.validate()
}

// least returns the lower limit of two; 0 is none.
func least(a, b Rate) Rate {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Limits is what the guest is held to: its policy under its throttle.
func (g Guest) Limits() Policy {
	p := g.Policy
	if g.Throttle.Rate == 0 {
		return p
	}
	ceil := p.Ceil
	if ceil == 0 {
		ceil = p.Upload
	}
	p.Download = least(p.Download, g.Throttle.Rate)
	p.Ceil = least(ceil, g.Throttle.Rate)
	if p.Upload > g.Throttle.Rate {
		p.Upload = g.Throttle.Rate
	}
	if p.Send != 0 {
		p.Send = least(p.Send, g.Throttle.Rate)
	}
	p.Burst = 0 // a credit that was saved up before must not undo it
	return p.normalize()
}
