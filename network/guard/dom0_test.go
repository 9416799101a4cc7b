package guard

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/vishvananda/netlink"
)

// What netlink says of the interfaces of a dom0, and which of them are not vifs.
func TestUplink(t *testing.T) {
	mac := func(s string) net.HardwareAddr {
		a, err := net.ParseMAC(s)
		assert.NoError(t, err)
		return a
	}
	for name, c := range map[string]struct {
		link netlink.Link
		want string
	}{
		"a vif":                        {&netlink.Device{LinkAttrs: netlink.LinkAttrs{ParentDevBus: "xen-backend", MasterIndex: 4, HardwareAddr: mac("fe:ff:ff:ff:ff:ff")}}, ""},
		"a vif with a MAC of its own":  {&netlink.Device{LinkAttrs: netlink.LinkAttrs{ParentDevBus: "xen-backend", MasterIndex: 4, HardwareAddr: mac("00:16:3e:00:00:01")}}, ""},
		"the device model's port":      {&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{MasterIndex: 4, HardwareAddr: mac("00:16:3e:00:00:01")}}, ""},
		"a network card":               {&netlink.Device{LinkAttrs: netlink.LinkAttrs{ParentDevBus: "pci"}}, "is a network card (pci)"},
		"a network card of QEMU":       {&netlink.Device{LinkAttrs: netlink.LinkAttrs{ParentDevBus: "virtio", MasterIndex: 4}}, "is a network card (virtio)"},
		"a bridge":                     {&netlink.Bridge{}, "is a bridge"},
		"a bond":                       {&netlink.Bond{}, "is a bond"},
		"a VLAN":                       {&netlink.Vlan{}, "is a vlan"},
		"an older kernel's card":       {&netlink.Device{LinkAttrs: netlink.LinkAttrs{MasterIndex: 4, HardwareAddr: mac("52:54:00:00:00:01")}}, "is a port of a bridge, and no vif"},
		"an interface that is nowhere": {&netlink.Veth{LinkAttrs: netlink.LinkAttrs{HardwareAddr: mac("52:54:00:00:00:01")}}, ""},
		"the loopback":                 {&netlink.Device{LinkAttrs: netlink.LinkAttrs{Flags: net.FlagLoopback}}, "is the loopback"},
	} {
		assert.Equal(t, c.want, uplink(c.link), name)
	}
}
