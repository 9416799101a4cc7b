package shaping

import (
	"fmt"
	"strconv"
	"strings"
)

// Rate is a data rate in bit/s. The zero Rate means that there is no limit.
type Rate int64

// Units of Rate, powers of 1000 as everywhere in networks.
const (
	Bit  Rate = 1
	Kbit      = 1000 * Bit
	Mbit      = 1000 * Kbit
	Gbit      = 1000 * Mbit
	Tbit      = 1000 * Gbit
)

// The rates that can be set: below MinRate a single full frame would take
// more than a second.
const (
	MinRate = 8 * Kbit
	MaxRate = Tbit
)

// ParseRate reads a rate with its unit: 8000bit, 512kbit, 100mbit, 1.5gbit, also
// as 100Mbit/s or 100Mb/s. Refused are bare numbers, and what some read as
// bytes: 10MB/s, and 10mbps, which is 80 Mbit/s to tc.
func ParseRate(text string) (Rate, error) {
	number, isBits := strings.CutSuffix(strings.TrimSuffix(text, "/s"), "bit")
	if !isBits {
		number, isBits = strings.CutSuffix(number, "b")
	}
	number = strings.TrimSuffix(number, " ")
	unit := Bit
	if n := len(number); n > 0 {
		if i := strings.IndexByte("kmgt", number[n-1]|0x20); i >= 0 {
			unit = [...]Rate{Kbit, Mbit, Gbit, Tbit}[i]
			number = strings.TrimSuffix(number[:n-1], " ")
		}
	}
	rate, ok := scale(number, unit)
	if !ok || !isBits {
		return 0, fmt.Errorf("rate %q (as 512kbit, 100mbit or 1.5gbit): %w", text, ErrInvalid)
	}
	return rate, nil
}

// scale multiplies a decimal number, without a sign or an exponent, by a unit;
// what is not a whole number of bit/s is refused, as is all above MaxRate.
func scale(number string, unit Rate) (Rate, bool) {
	whole, fraction, dotted := strings.Cut(number, ".")
	if whole == "" || dotted && fraction == "" || len(number) > 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || Rate(n) > MaxRate/unit {
		return 0, false
	}
	rate := Rate(n) * unit
	for _, digit := range fraction {
		if digit < '0' || digit > '9' || unit < 10 && digit != '0' {
			return 0, false
		}
		unit /= 10
		rate += Rate(digit-'0') * unit
	}
	return rate, rate <= MaxRate
}

// String prints the rate in the largest unit that divides it: 1500kbit.
func (r Rate) String() string {
	for _, u := range []struct {
		unit Rate
		name string
	}{{Tbit, "tbit"}, {Gbit, "gbit"}, {Mbit, "mbit"}, {Kbit, "kbit"}} {
		if r != 0 && r%u.unit == 0 {
			return strconv.FormatInt(int64(r/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(r), 10) + "bit"
}

// MarshalText implements encoding.TextMarshaler: JSON has "100mbit".
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

// Set implements flag.Value.
func (r *Rate) Set(text string) (err error) {
	*r, err = ParseRate(text)
	return err
}

// Type implements pflag.Value.
func (r *Rate) Type() string { return "rate" }

// valid refuses what the kernel could not keep; 0 is no limit.
func (r Rate) valid() error {
	if r != 0 && (r < MinRate || r > MaxRate) {
		return fmt.Errorf("rate %v (%v to %v): %w", r, MinRate, MaxRate, ErrInvalid)
	}
	return nil
}
