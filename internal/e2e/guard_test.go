package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen"
)

// The guard on real vifs, which vifhook lets on their bridges: one guest is
// what it says, another one uses the first one's address. It holds when they restart and get other domids, and
// when the first one moves; the traffic of the first one goes on.
func TestGuardFull(t *testing.T) {
	w := newGuardedWorld(t)
	t.Run("the suite in dom0", func(t *testing.T) {
		r := w.islay.Test(t, "github.com/xenhost/xenhost/network/guard", &xenlab.TestOptions{
			Run: "TestForgedFrames|TestHandsOfOthers|TestDom0|TestLinux", Timeout: 20 * time.Minute,
		})
		t.Logf("RESULT network/guard in dom0: %d passed, %d failed, skipped %v", r.Passed, r.Failed, r.Skipped)
	})
	w.provision(web)
	w.answers(web, w.curacao)
	thief := guest{name: "thief", kind: "pvh", ip: web.ip, mac: "00:16:3e:00:00:66"}
	w.provisionThief(thief, "192.168.0.66")

	w.robbed(thief, w.curacao)
	w.acknowledges(web, 3)
	t.Run("after a restart", func(t *testing.T) {
		w := w.in(t)
		for _, g := range []guest{thief, web} {
			before := w.domid(g, w.curacao)
			w.run(w.curacao, "xl", "reboot", g.name)
			require.Eventually(t, func() bool { id := w.domid(g, w.curacao); return id != "" && id != before }, 3*time.Minute, time.Second)
		}
		w.robbed(thief, w.curacao)
		w.acknowledges(web, 5)
		w.answers(web, w.curacao)
	})
	t.Run("after a move", func(t *testing.T) {
		w := w.in(t)
		w.run(w.curacao, "xenhost-move", web.name, "--to", islayAddress)
		assert.Equal(t, []string{"islay"}, w.runs(web))
		assert.NotContains(t, w.run(w.curacao, "nft", "list", "set", "bridge", "xenhost_guard", "macs"), web.mac)
		assert.Contains(t, w.run(w.islay, "nft", "list", "set", "bridge", "xenhost_guard", "macs"), web.mac)
		w.acknowledges(web, 5)
		w.answers(web, w.islay)
		w.robbed(thief, w.curacao)
		assert.Zero(t, w.dropped(w.islay, "drop_arp"), "the thief's claims do not reach the other host")
	})
}

// newGuardedWorld is newWorld with the guard on both hosts.
func newGuardedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, xenlab.StartFull(t))
	for _, h := range []*xenlab.Host{w.curacao, w.islay} {
		settings, err := json.Marshal(cli.Settings{
			Name: h.Name(), Guard: true, Grace: "120s",
			Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/24"), Out: "xenext"}},
		})
		require.NoError(t, err)
		require.NoError(t, h.Write(t.Context(), "/etc/xenhost/host.json", settings, 0o644))
		w.run(h, "xenhost-agent", "boot")
		w.hooked(h)
	}
	return w
}

// hooked makes vifhook the script of all vifs of a host.
func (w *world) hooked(h *xenlab.Host) {
	t := w.t
	t.Helper()
	path := filepath.Join(t.TempDir(), "vif-xenhost")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", path, "github.com/xenhost/xenhost/examples/vifhook")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, h.Put(t.Context(), path, "/etc/xen/scripts/vif-xenhost"))
	w.run(h, "ln", "-s", "vif-xenhost", "/etc/xen/scripts/"+xen.RoutedScript)
	conf, err := h.Read(t.Context(), "/etc/xen/xl.conf")
	require.NoError(t, err)
	conf = append(conf, []byte("\nvif.default.script=\"vif-xenhost\"\n")...)
	require.NoError(t, h.Write(t.Context(), "/etc/xen/xl.conf", conf, 0o644))
}

// provisionThief makes a guest that is given an address and uses another one.
func (w *world) provisionThief(g guest, given string) {
	w.t.Helper()
	args := xenlab.Guest{Name: g.name, IP: g.ip + "/24", Gateway: "192.168.0.1", Ack: w.observer.Addr(), Rate: 4}
	w.run(w.curacao, "xenhost-provision", g.name, "--type", g.kind, "--memory", "128M", "--disk", "guests/"+g.name+":32M",
		"--kernel", xenlab.GuestKernel, "--ramdisk", xenlab.GuestRamdisk, "--cmdline", args.Args(), "--tsc-mode", "native",
		"--bridge", "xenint", "--mac", g.mac, "--ip", given)
}

// robbed waits until the guest has tried to be another, which the guard counts,
// and proves that nobody has heard of it.
func (w *world) robbed(g guest, h *xenlab.Host) {
	w.t.Helper()
	before := w.dropped(h, "drop_arp") + w.dropped(h, "drop_ipv4")
	require.Eventually(w.t, func() bool { return w.dropped(h, "drop_arp")+w.dropped(h, "drop_ipv4") > before }, 3*time.Minute, time.Second,
		"the guest tries to use %s", g.ip)
	assert.Zero(w.t, w.observer.Acked(g.name), "its acknowledgements come nowhere")
	assert.NotContains(w.t, strings.ToLower(w.run(h, "ip", "neigh", "show")), g.mac, "dom0 knows no such neighbour")
}

// dropped reads one of the guard's counters.
func (w *world) dropped(h *xenlab.Host, counter string) (n int) {
	w.t.Helper()
	out := w.run(h, "nft", "list", "counter", "bridge", "xenhost_guard", counter)
	found := regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(out)
	require.Len(w.t, found, 2, out)
	_, err := fmt.Sscan(found[1], &n)
	require.NoError(w.t, err)
	return n
}

// domid is the guest's number now; empty while it restarts.
func (w *world) domid(g guest, h *xenlab.Host) string {
	w.t.Helper()
	out, err := h.Run(w.t.Context(), "xl", "domid", g.name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
