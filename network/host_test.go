package network

import (
	"net/netip"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
)

func TestSockets(t *testing.T) {
	const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   2: 017100CB:1F90 FE7100CB:C001 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
`
	assert.Equal(t, []socket{
		{TCP, netip.IPv4Unspecified(), 22}, {TCP, netip.MustParseAddr("127.0.0.1"), 25},
	}, sockets("tcp", tcp))
	const udp6 = `  0: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07
  1: 0000000000000000FFFF0000017100CB:0043 00000000000000000000000000000000:0000 07
  2: zz:0043 0:0 07
`
	assert.Equal(t, []socket{
		{UDP, netip.IPv6Unspecified(), 53}, {UDP, netip.MustParseAddr("203.0.113.1"), 67},
	}, sockets("udp6", udp6))
}

func TestVifName(t *testing.T) {
	id := uuid.MustParse("7f3a0b1c-0000-4000-8000-000000000001")
	assert.Equal(t, "x7f3a0b1c.0", VifName(id, 0))
	assert.Equal(t, "x7f3a0b1c.z", VifName(id, 35))
	assert.Empty(t, VifName(id, -1)+VifName(id, 36))
	assert.Len(t, VifName(id, 35), 11)
}
