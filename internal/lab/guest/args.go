package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

type arguments struct {
	ip    netip.Prefix
	gw    netip.Addr
	name  string
	ack   netip.AddrPort
	rate  int
	dirty int
}

// parseArgs reads the g.* words of a kernel command line.
func parseArgs(line string) (arguments, error) {
	a := arguments{name: "guest", rate: 10}
	for _, word := range strings.Fields(line) {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "g.ip":
			a.ip, err = netip.ParsePrefix(value)
		case "g.gw":
			a.gw, err = netip.ParseAddr(value)
		case "g.name":
			a.name = value
		case "g.ack":
			a.ack, err = netip.ParseAddrPort(value)
		case "g.rate":
			a.rate, err = positive(value)
		case "g.dirty":
			a.dirty, err = positive(value)
		}
		if err != nil {
			return a, fmt.Errorf("%s: %w", word, err)
		}
	}
	return a, nil
}

func positive(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err == nil && n < 1 {
		err = fmt.Errorf("must be above 0")
	}
	return n, err
}
