package guard_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/network/guard/guardtest"
)

func TestFake(t *testing.T) {
	guardtest.TestManager(t, func(*testing.T) guardtest.Site {
		address, mac := netip.MustParseAddr("10.99.0.254"), network.MAC{0x52, 0x54, 0, 0, 0, 1}
		f := guardtest.New(guard.Dom0{
			Uplinks:   map[string]string{"eth0": "has dom0's address"},
			Addresses: map[netip.Addr]string{address: "dom0 on eth0"},
			MACs:      map[network.MAC]string{mac: "dom0's eth0"},
		})
		return guardtest.Site{Manager: f, Uplink: "eth0", Address: address, MAC: mac, Flush: func(*testing.T) { f.Flush() }}
	})
}

func TestFakeFails(t *testing.T) {
	f := guardtest.New(guard.Dom0{})
	broken := errors.New("nft is not there")
	f.Fail("apply", broken)
	_, err := f.Apply(t.Context(), guard.State{})
	require.ErrorIs(t, err, broken)
	_, err = f.Apply(t.Context(), guard.State{})
	require.NoError(t, err)
	assert.Equal(t, "guard's rules\n", f.String())
	f.Drop(func(d *guard.Drops) { d.ARP++ })
	d, err := f.Drops(t.Context())
	require.NoError(t, err)
	assert.Equal(t, guard.Drops{ARP: 1}, d)
}
