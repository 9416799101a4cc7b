package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ParseForward reads what Forward.String prints, as
//
//	tcp *:8080 -> 192.168.0.10:80
//	udp 203.0.113.5:10000-10099 -> 192.168.0.10:10000 return ingress
//	tcp [2001:db8::1]:80 -> [fd00::10]:80 spread
//	all 203.0.113.5 -> 192.168.0.10
//
// The error is ErrInvalid. Whether a host would take it is up to State.Validate.
func ParseForward(s string) (Forward, error) {
	f, err := parseForward(strings.Fields(s))
	if err != nil {
		return Forward{}, &Error{Op: "parse", Name: strconv.Quote(s), Err: err}
	}
	return f, nil
}

func parseForward(w []string) (Forward, error) {
	var f Forward
	if len(w) < 4 || w[2] != "->" {
		return f, fmt.Errorf("not as in tcp *:8080 -> 192.168.0.10:80: %w", ErrInvalid)
	}
	f.Proto = Proto(w[0])
	options := w[4:]
	if len(options) >= 2 && options[0] == "return" {
		f.Return, options = Return(options[1]), options[2:]
	}
	if slices.Equal(options, []string{"spread"}) {
		f.Spread, options = true, nil
	}
	if len(options) > 0 {
		return f, fmt.Errorf("%q after the target: %w", strings.Join(options, " "), ErrInvalid)
	}
	var err error
	if f.Proto == All {
		var to netip.Addr
		to, err = netip.ParseAddr(w[3])
		f.To = netip.AddrPortFrom(to, 0)
		if err == nil {
			f.Listen, err = netip.ParseAddr(w[1])
		}
	} else {
		f.To, err = netip.ParseAddrPort(w[3])
		if err == nil {
			err = f.parseListen(w[1])
		}
	}
	if err != nil {
		return Forward{}, fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	return f, nil
}

// parseListen reads *:80, 203.0.113.5:80-89, [2001:db8::1]:80.
func (f *Forward) parseListen(s string) error {
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return fmt.Errorf("%q has no port", s)
	}
	host, ports := s[:at], s[at+1:]
	first, last, isRange := strings.Cut(ports, "-")
	n, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return err
	}
	f.Port = uint16(n)
	if isRange {
		if n, err = strconv.ParseUint(last, 10, 16); err != nil {
			return err
		}
		f.Last = uint16(n)
	}
	if host == "*" {
		return nil
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if f.Listen, err = netip.ParseAddr(bare); err != nil {
		return err
	}
	if f.Listen.Is6() != strings.HasPrefix(host, "[") {
		return fmt.Errorf("%q: IPv6 addresses stand in brackets", s)
	}
	return nil
}
