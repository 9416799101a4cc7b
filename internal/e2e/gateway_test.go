package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/network/gateway"
)

// The election is over four seconds after the master's last word; the rest is
// for hosts that are emulated, on a machine that may have other work.
const takeOver = 30 * time.Second

// TestGatewayFull: both hosts serve the private network. A guest on islay goes
// into the world through curacao; curacao loses its power, and the guest goes
// on through islay, with the same default route.
func TestGatewayFull(t *testing.T) {
	w := newWorld(t, xenlab.StartFull(t))
	serving := netip.MustParsePrefix("192.168.0.254/24")
	self := func(h *xenlab.Host) netip.Addr { return netip.MustParseAddr(h.InternalIP()) }
	for priority, h := range map[int]*xenlab.Host{150: w.curacao, 100: w.islay} {
		other := w.curacao
		if h == other {
			other = w.islay
		}
		g := gateway.Gateway{
			Host: h.Name(), Bridge: "xenint", ID: 51, Priority: priority, Addresses: []netip.Prefix{serving},
			Self: self(h), Peers: []netip.Addr{self(other)}, Uplinks: []string{"xenext"},
		}
		require.NoError(t, g.Validate())
		require.NoError(t, h.Write(t.Context(), "/etc/keepalived/keepalived.conf", []byte(g.Keepalived()), 0o644))
		w.run(h, "keepalived", "--config-test")
		w.run(h, "keepalived", "--vrrp") // goes into the background
	}
	has := func(h *xenlab.Host) bool {
		out, err := h.Run(t.Context(), "ip", "-o", "address", "show", "dev", "xenint")
		return err == nil && strings.Contains(string(out), serving.Addr().String()+"/")
	}
	require.Eventually(t, func() bool { return has(w.curacao) && !has(w.islay) }, 3*time.Minute, time.Second, "curacao is elected")

	w.provisionOn(w.islay, web, serving.Addr().String())
	through := func(h *xenlab.Host) bool {
		return strings.Contains(w.run(h, "conntrack", "-L", "-p", "udp", "-s", web.ip), "dst="+h.ExternalIP()+" ")
	}
	assert.True(t, through(w.curacao), "the guest's way leads through curacao")
	assert.False(t, through(w.islay))

	dead := time.Now()
	require.NoError(t, w.curacao.Kill(t.Context()))
	gone := time.Since(dead)
	require.Eventually(t, func() bool { return has(w.islay) }, 3*time.Minute, 100*time.Millisecond, "islay takes over")
	served := time.Since(dead)
	w.acknowledges(web, 5)
	gap := w.observer.Gap(web.name, dead, time.Now())
	t.Logf("RESULT curacao died in %v; islay served after %v; the guest was without a way into the world for %v at the longest",
		gone.Round(time.Millisecond), served.Round(10*time.Millisecond), gap.Round(10*time.Millisecond))
	assert.Less(t, gap, takeOver, fmt.Sprintf("from the power failure on; islay had the address after %v", served))
	w.answers(web, w.islay)
	w.acknowledges(web, 5)
	for flow := range strings.Lines(w.run(w.islay, "conntrack", "-L", "-p", "udp", "-s", web.ip, "-d", xenlab.InternetAddr)) {
		assert.Contains(t, flow, " dst="+w.islay.ExternalIP()+" ", "also a flow that islay's bridge knew before is masqueraded")
	}
}
