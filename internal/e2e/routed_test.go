package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/network"
)

// TestRoutedFull: a guest with a public address and no bridge, for which its
// host answers on the ISP's switch. The Internet reaches it, also after its own
// restart with another domid, and after a move at the other host.
func TestRoutedFull(t *testing.T) {
	w := newGuardedWorld(t)
	shop := guest{name: "shop", kind: "pvh", ip: "203.0.113.10", mac: "00:16:3e:00:00:20"}
	args := xenlab.Guest{Name: shop.name, IP: shop.ip + "/32", Gateway: network.RouterV4, Ack: w.observer.Addr(), Rate: 4}
	w.run(w.curacao, "xenhost-provision", shop.name, "--type", shop.kind, "--memory", "128M", "--disk", "guests/"+shop.name+":32M",
		"--kernel", xenlab.GuestKernel, "--ramdisk", xenlab.GuestRamdisk, "--cmdline", args.Args(), "--tsc-mode", "native",
		"--routed", "--uplink", "xenext", "--mac", shop.mac, "--ip", shop.ip)

	w.routed(shop, w.curacao)
	t.Run("after a restart", func(t *testing.T) {
		w := w.in(t)
		before := w.domid(shop, w.curacao)
		w.run(w.curacao, "xl", "reboot", shop.name)
		require.Eventually(t, func() bool { id := w.domid(shop, w.curacao); return id != "" && id != before }, 3*time.Minute, time.Second)
		w.routed(shop, w.curacao)
	})
	t.Run("after a move", func(t *testing.T) {
		w := w.in(t)
		w.run(w.curacao, "xenhost-move", shop.name, "--to", islayAddress)
		assert.Equal(t, []string{"islay"}, w.runs(shop))
		w.routed(shop, w.islay)
		assert.NotContains(t, w.run(w.curacao, "ip", "route", "show"), shop.ip, "no way is left at the old host")
		assert.NotContains(t, w.run(w.curacao, "ip", "neigh", "show", "proxy"), shop.ip, "nor does it answer for the address")
	})
}

// routed waits until the Internet reaches a routed guest, by its host alone.
func (w *world) routed(g guest, h *xenlab.Host) {
	w.t.Helper()
	w.acknowledges(g, 2)
	w.opens("http://"+g.ip+"/", "hello from "+g.name)
	assert.Contains(w.t, w.run(h, "ip", "route", "show", g.ip), "dev ", "the way to it")
	assert.Contains(w.t, w.run(h, "ip", "neigh", "show", "proxy"), g.ip+" dev xenext")
}
