package cli

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/xenhost/xenhost/network"
)

// Size is a flag in bytes with a unit: 512K, 128M, 20G, 1T (powers of 1024). A
// bare number is refused: nobody remembers which unit it has.
type Size int64

const units = "KMGT"

// Set implements pflag.Value.
func (s *Size) Set(text string) error {
	i := len(text) - 1
	if i < 1 || !strings.Contains(units, text[i:]) {
		return fmt.Errorf("%q is not a size as 512K, 128M, 20G or 1T", text)
	}
	shift := 10 * (strings.Index(units, text[i:]) + 1)
	n, err := strconv.ParseInt(text[:i], 10, 64)
	if err != nil || n <= 0 || n > 1<<62>>shift {
		return fmt.Errorf("%q is not a size as 512K, 128M, 20G or 1T", text)
	}
	*s = Size(n << shift)
	return nil
}

// String implements pflag.Value: the largest unit that divides it.
func (s *Size) String() string { return Bytes(int64(*s)) }

// Type implements pflag.Value.
func (s *Size) Type() string { return "size" }

// Bytes prints a size for people: exact where a unit divides it, else with one
// decimal.
func Bytes(n int64) string {
	for i := len(units); i > 0; i-- {
		unit := int64(1) << (10 * i)
		switch {
		case n >= unit && n%unit == 0:
			return fmt.Sprintf("%d%c", n/unit, units[i-1])
		case n >= unit:
			return fmt.Sprintf("%.1f%c", float64(n)/float64(unit), units[i-1])
		}
	}
	return strconv.FormatInt(n, 10)
}

// Forward is a flag as tcp:8080:192.168.0.10:80.
type Forward []network.Forward

// Set implements pflag.Value.
func (f *Forward) Set(text string) error {
	proto, rest, _ := strings.Cut(text, ":")
	port, to, _ := strings.Cut(rest, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	target, err2 := netip.ParseAddrPort(to)
	if err != nil || err2 != nil || n == 0 || (proto != "tcp" && proto != "udp") {
		return fmt.Errorf("%q is not a forward as tcp:8080:192.168.0.10:80", text)
	}
	*f = append(*f, network.Forward{Proto: network.Proto(proto), Port: uint16(n), To: target})
	return nil
}

// String implements pflag.Value.
func (f *Forward) String() string {
	var all []string
	for _, x := range *f {
		all = append(all, fmt.Sprintf("%s:%d:%s", x.Proto, x.Port, x.To))
	}
	return strings.Join(all, " ")
}

// Type implements pflag.Value.
func (f *Forward) Type() string { return "proto:port:address:port" }
