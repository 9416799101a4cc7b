package main

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestArgs(t *testing.T) {
	a, err := parseArgs("console=hvc0 root=/x g.ip=192.168.0.10/24 g.gw=192.168.0.1 g.name=web g.ack=203.0.113.254:9000 g.rate=5 g.dirty=4096\n")
	require.NoError(t, err)
	assert.Equal(t, arguments{
		ip: netip.MustParsePrefix("192.168.0.10/24"), gw: netip.MustParseAddr("192.168.0.1"),
		name: "web", ack: netip.MustParseAddrPort("203.0.113.254:9000"), rate: 5, dirty: 4096,
	}, a)
	a, err = parseArgs("")
	require.NoError(t, err)
	assert.Equal(t, arguments{name: "guest", rate: 10}, a)
	for _, bad := range []string{"g.ip=1.2.3.4", "g.gw=x", "g.ack=1.2.3.4", "g.rate=0", "g.dirty=-1"} {
		_, err := parseArgs(bad)
		assert.ErrorContains(t, err, bad)
	}
}
