package shaping

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Policy says how fast a guest may be, seen from its owner: Download is what
// the guest receives, Upload what it sends to the world. The zero Policy sets
// no limit and promises nothing.
type Policy struct {
	// Download is the most that each of the guest's vifs receives, from the
	// world, from dom0 and from other guests alike.
	Download Rate `json:"download,omitzero"`
	// Upload is what the guest can always send through the uplink, all its
	// vifs together. The uplink promises no more than it has (ErrOvercommitted).
	Upload Rate `json:"upload,omitzero"`
	// Ceil is the most that it sends while others leave room. 0 is Upload, so
	// that Upload alone is a plain cap; if Upload is 0 too, it is the whole
	// uplink.
	Ceil Rate `json:"ceil,omitzero"`
	// Send is the most that each of the guest's vifs sends to anyone, other
	// guests and dom0 included. It costs an interface a vif (ifb), which the
	// other limits do without; 0 is no limit but those.
	Send Rate `json:"send,omitzero"`
	// Burst is a credit in bytes for short peaks: after a pause so much passes
	// faster than Download, and faster than Upload where Ceil allows. 0, and
	// all that is less than the kernel needs to reach the rate, is that.
	Burst int64 `json:"burst,omitzero"`
	// Weight is the guest's share, 1 to 100, of what others leave; 0 is 1.
	Weight int `json:"weight,omitzero"`
	// Priority, 0 to 7: what others leave goes to the lowest number first,
	// and the next gets what that one does not want.
	Priority int `json:"priority,omitzero"`
}

// Bounds of Policy.
const (
	MaxWeight   = 100
	MaxPriority = 7
)

// maxCredit is how long a burst may feed a rate; the kernel counts its bucket
// in 32 bits of 64 ns.
const maxCredit = 240 * time.Second

// Validate refuses a policy that no host can keep: ErrInvalid.
func (p Policy) Validate() error {
	if err := p.validate(); err != nil {
		return &Error{Op: "validate", Err: err}
	}
	return nil
}

func (p Policy) validate() error {
	for _, r := range [...]Rate{p.Download, p.Upload, p.Ceil, p.Send} {
		if err := r.valid(); err != nil {
			return err
		}
		if r != 0 && p.Burst > int64(r)/8*int64(maxCredit/time.Second) {
			return fmt.Errorf("burst of %d bytes at %v (at most %v of it): %w", p.Burst, r, maxCredit, ErrInvalid)
		}
	}
	switch {
	case p.Ceil != 0 && p.Ceil < p.Upload:
		return fmt.Errorf("ceil %v is below upload %v: %w", p.Ceil, p.Upload, ErrInvalid)
	case p.Burst < 0 || p.Burst > 1<<32-1:
		return fmt.Errorf("burst of %d bytes (less than 4 GiB): %w", p.Burst, ErrInvalid)
	case p.Weight < 0 || p.Weight > MaxWeight:
		return fmt.Errorf("weight %d (1 to %d): %w", p.Weight, MaxWeight, ErrInvalid)
	case p.Priority < 0 || p.Priority > MaxPriority:
		return fmt.Errorf("priority %d (0 to %d): %w", p.Priority, MaxPriority, ErrInvalid)
	}
	return nil
}

// normalize gives what means the same the same form.
func (p Policy) normalize() Policy {
	if p.Weight == 1 {
		p.Weight = 0
	}
	if p.Ceil == p.Upload {
		p.Ceil = 0
	}
	return p
}

// String prints what is set, as "download 100mbit upload 50mbit ceil 200mbit
// burst 1048576B weight 4 priority 1", or "unlimited".
func (p Policy) String() string {
	var words []string
	add := func(set bool, name, value string) {
		if set {
			words = append(words, name, value)
		}
	}
	add(p.Download != 0, "download", p.Download.String())
	add(p.Upload != 0, "upload", p.Upload.String())
	add(p.Ceil != 0, "ceil", p.Ceil.String())
	add(p.Send != 0, "send", p.Send.String())
	add(p.Burst != 0, "burst", strconv.FormatInt(p.Burst, 10)+"B")
	add(p.Weight != 0, "weight", strconv.Itoa(p.Weight))
	add(p.Priority != 0, "priority", strconv.Itoa(p.Priority))
	if len(words) == 0 {
		return "unlimited"
	}
	return strings.Join(words, " ")
}

// ParsePolicy reads what String prints.
func ParsePolicy(text string) (Policy, error) {
	p, err := parsePolicy(strings.Fields(text))
	if err != nil {
		return Policy{}, &Error{Op: "parse", Name: strconv.Quote(text), Err: err}
	}
	return p, nil
}

func parsePolicy(words []string) (p Policy, err error) {
	if len(words) == 1 && words[0] == "unlimited" {
		return p, nil
	}
	if len(words) == 0 || len(words)%2 != 0 {
		return p, fmt.Errorf("policy %q: %w", strings.Join(words, " "), ErrInvalid)
	}
	for i := 0; i < len(words) && err == nil; i += 2 {
		value := words[i+1]
		for k := 0; k < i; k += 2 {
			if words[k] == words[i] {
				return Policy{}, fmt.Errorf("%s is given twice: %w", words[i], ErrInvalid)
			}
		}
		switch words[i] {
		case "download":
			p.Download, err = ParseRate(value)
		case "upload":
			p.Upload, err = ParseRate(value)
		case "ceil":
			p.Ceil, err = ParseRate(value)
		case "send":
			p.Send, err = ParseRate(value)
		case "burst":
			p.Burst, err = parseCount(strings.TrimSuffix(value, "B"), value)
		case "weight":
			p.Weight, err = narrow(parseCount(value, value))
		case "priority":
			p.Priority, err = narrow(parseCount(value, value))
		default:
			err = fmt.Errorf("%q is no part of a policy: %w", words[i], ErrInvalid)
		}
	}
	if err == nil {
		err = p.validate()
	}
	if err != nil {
		return Policy{}, err
	}
	return p, nil
}

func parseCount(number, shown string) (int64, error) {
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", shown, ErrInvalid)
	}
	return int64(n), nil
}

func narrow(n int64, err error) (int, error) { return int(n), err }
