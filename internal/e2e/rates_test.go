package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/shaping"
)

// TestRatesFull: on real vifs, a guest has its rates after it was given them,
// after it rebooted by itself, after its move to the other host, and after that
// host lost its power; and the host that it left has nothing of them any more.
func TestRatesFull(t *testing.T) {
	w := newWorld(t, xenlab.StartFull(t))
	for _, h := range []*xenlab.Host{w.curacao, w.islay} {
		settings, err := json.Marshal(cli.Settings{
			Name:        h.Name(),
			Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/24"), Out: "xenext"}},
			Uplink:      &shaping.Uplink{Dev: "eth1", Rate: 100 * shaping.Mbit},
			Grace:       "120s",
		})
		require.NoError(t, err)
		require.NoError(t, h.Write(t.Context(), "/etc/xenhost/host.json", settings, 0o644))
		w.run(h, "sync")
		w.run(h, "xenhost-agent", "boot")
	}
	w.keeps(w.curacao)
	w.provision(web)
	assert.True(t, w.rates(web, w.curacao).InForce, "a guest without rates has a class of its own")

	w.run(w.curacao, "xenhost-shape", "set", web.name, "--download", "20mbit", "--upload", "5mbit", "--ceil", "10mbit")
	w.limited(web, w.curacao)
	sent := w.sent(w.curacao)
	w.answers(web, w.curacao)
	assert.Greater(t, w.sent(w.curacao), sent, "its answers leave through its class")

	vif := w.ifindex(web, w.curacao)
	w.run(w.curacao, "xl", "reboot", web.name)
	require.Eventually(t, func() bool { now := w.ifindex(web, w.curacao); return now != 0 && now != vif }, 3*time.Minute, time.Second, "a new vif")
	w.acknowledges(web, 3)
	w.limited(web, w.curacao)
	t.Logf("RESULT rates of %s are back after its reboot", web.name)

	out, err := w.watch(t.Context(), w.curacao, func(string) {}, "xenhost-move", web.name, "--to", islayAddress, "--json")
	require.NoError(t, err)
	var r migrate.Report
	require.NoError(t, json.Unmarshal(out, &r))
	require.Equal(t, "islay", r.Owner)
	w.limited(web, w.islay)
	assert.NotContains(t, w.run(w.curacao, "tc", "class", "show", "dev", "eth1"), "5651:1 ")
	assert.NotContains(t, w.run(w.curacao, "nft", "list", "table", "bridge", "xenhost_shaping"), "guest ")
	t.Logf("RESULT rates of %s went with it", web.name)

	require.NoError(t, w.islay.Kill(t.Context()))
	require.NoError(t, w.islay.Boot(t.Context()))
	w.run(w.islay, "xenhost-agent", "boot")
	w.acknowledges(web, 1)
	w.limited(web, w.islay)
	t.Logf("RESULT rates of %s are back after its host lost power", web.name)
}

// keeps runs what puts rates back on a host until the test ends.
func (w *world) keeps(h *xenlab.Host) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		out, _ := w.watch(ctx, h, func(string) {}, "xenhost-shape", "keep") // it ends when it is cancelled
		w.t.Logf("keep: %s", out)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// shown is what the command shape lists of a guest.
type shown struct {
	Name    string         `json:"name"`
	InForce bool           `json:"in_force"`
	Rates   shaping.Policy `json:"rates"`
}

func (w *world) rates(g guest, h *xenlab.Host) shown {
	w.t.Helper()
	var all []shown
	require.NoError(w.t, json.Unmarshal([]byte(w.run(h, "xenhost-shape", "list", "--json")), &all))
	for _, s := range all {
		if s.Name == g.name {
			return s
		}
	}
	return shown{}
}

// limited waits until the guest's rates are in force, and looks at the kernel's
// own words for them.
func (w *world) limited(g guest, h *xenlab.Host) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.rates(g, h).InForce }, time.Minute, time.Second)
	assert.Regexp(w.t, `qdisc tbf 5650: .*rate 20Mbit`, w.run(h, "tc", "qdisc", "show", "dev", w.vif(g, h)))
	assert.Regexp(w.t, `class htb 5651:1 .*rate 5Mbit ceil 10Mbit`, w.run(h, "tc", "class", "show", "dev", "eth1"))
}

// vif is the name of the guest's vif in a host's dom0.
func (w *world) vif(g guest, h *xenlab.Host) string {
	w.t.Helper()
	id := w.owner(g, h).UUID
	return network.VifName(id, 0)
}

// ifindex tells a vif from the one of the same name that comes after it; 0 is
// none.
func (w *world) ifindex(g guest, h *xenlab.Host) (index int) {
	out, err := h.Run(w.t.Context(), "cat", "/sys/class/net/"+w.vif(g, h)+"/ifindex")
	if err == nil {
		_, err = fmt.Sscan(string(out), &index)
	}
	if err != nil {
		return 0
	}
	return index
}

// sent is what left through the first guest's class, in bytes.
func (w *world) sent(h *xenlab.Host) (n int) {
	w.t.Helper()
	_, rest, _ := strings.Cut(w.run(h, "tc", "-s", "class", "show", "dev", "eth1", "classid", "5651:1"), "Sent ")
	_, err := fmt.Sscan(rest, &n)
	require.NoError(w.t, err, rest)
	return n
}
