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
	}
	w.run(w.islay, "xenhost-agent", "boot")
	w.resident(w.curacao)
	w.provision(web)
	vif := network.VifName(w.owner(web, w.curacao).UUID, 0)
	assert.True(t, w.rates(web, w.curacao).InForce, "a guest without rates has a class of its own")

	w.run(w.curacao, "xenhost-shape", "set", web.name, "--download", "20mbit", "--upload", "5mbit", "--ceil", "10mbit")
	w.limited(web, w.curacao, vif)
	sent := w.sent(w.curacao)
	w.answers(web, w.curacao)
	assert.Greater(t, w.sent(w.curacao), sent, "its answers leave through its class")

	was := w.ifindex(w.curacao, vif)
	w.run(w.curacao, "xl", "reboot", web.name)
	require.Eventually(t, func() bool { now := w.ifindex(w.curacao, vif); return now != 0 && now != was }, 10*time.Minute, time.Second, "a new vif")
	w.limited(web, w.curacao, vif)
	w.acknowledges(web, 1)
	t.Logf("RESULT rates of %s are back after its reboot", web.name)

	out, err := w.watch(t.Context(), w.curacao, func(string) {}, "xenhost-move", web.name, "--to", islayAddress, "--json")
	require.NoError(t, err)
	var r migrate.Report
	require.NoError(t, json.Unmarshal(out, &r))
	require.Equal(t, "islay", r.Owner)
	w.limited(web, w.islay, vif)
	assert.NotContains(t, w.run(w.curacao, "tc", "class", "show", "dev", "eth1"), "5651:1 ")
	assert.NotContains(t, w.run(w.curacao, "nft", "list", "table", "bridge", "xenhost_shaping"), "guest ")
	t.Logf("RESULT rates of %s went with it", web.name)

	require.NoError(t, w.islay.Kill(t.Context()))
	require.NoError(t, w.islay.Boot(t.Context()))
	w.run(w.islay, "xenhost-agent", "boot")
	w.limited(web, w.islay, vif)
	t.Logf("RESULT rates of %s are back after its host lost power", web.name)
}

// resident runs on a host what is to be resident there, until the test ends,
// and returns when it has applied the host's rates.
func (w *world) resident(h *xenlab.Host) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = w.watch(ctx, h, func(string) {}, "xenhost-agent", "run") // it ends when it is cancelled
	}()
	w.t.Cleanup(func() {
		cancel()
		<-ended
	})
	require.Eventually(w.t, func() bool {
		_, err := h.Run(w.t.Context(), "nft", "list", "table", "bridge", "xenhost_shaping")
		return err == nil
	}, 5*time.Minute, time.Second)
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
func (w *world) limited(g guest, h *xenlab.Host, vif string) {
	w.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !w.rates(g, h).InForce; { // each look takes its second
		require.Less(w.t, time.Now(), deadline, "not in force on %s", h.Name())
	}
	assert.Regexp(w.t, `qdisc tbf 5650: .*rate 20Mbit`, w.run(h, "tc", "qdisc", "show", "dev", vif))
	assert.Regexp(w.t, `class htb 5651:1 .*rate 5Mbit ceil 10Mbit`, w.run(h, "tc", "class", "show", "dev", "eth1"))
}

// ifindex tells a vif from the one of the same name that comes after it; 0 is
// none.
func (w *world) ifindex(h *xenlab.Host, vif string) (index int) {
	out, err := h.Run(w.t.Context(), "cat", "/sys/class/net/"+vif+"/ifindex")
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
