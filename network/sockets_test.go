package network

import (
	"net"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The two ways to find out who listens agree, and both find who does.
func TestListening(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	u, err := net.ListenPacket("udp", ":0")
	require.NoError(t, err)
	defer u.Close()
	port := func(a net.Addr) uint16 {
		if tcp, ok := a.(*net.TCPAddr); ok {
			return uint16(tcp.Port)
		}
		return uint16(a.(*net.UDPAddr).Port)
	}
	for how, list := range map[string]func(string) ([]socket, error){"sock_diag": diagnosed, "/proc/net": printed} {
		var all []socket
		for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} {
			some, err := list(file)
			require.NoError(t, err, how)
			all = append(all, some...)
		}
		assert.True(t, slices.ContainsFunc(all, func(s socket) bool {
			return s.proto == TCP && s.port == port(l.Addr()) && s.addr.IsLoopback()
		}), "%s: %v", how, all)
		assert.True(t, slices.ContainsFunc(all, func(s socket) bool {
			return s.proto == UDP && s.port == port(u.LocalAddr()) && s.addr.IsUnspecified()
		}), "%s: %v", how, all)
	}
}
