package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/network"
)

// TestLedgerLab: on real vifs, known bytes are in the ledger once, across the
// guest's reboot, its move to the other host, and that host's loss of power; and
// a vif that is made anew, which sets its own counters to 0, changes nothing.
//
// The known bytes are pings from dom0, which are internal traffic; what the guest
// says to the world by itself is external.
func TestLedgerLab(t *testing.T) {
	w := newWorld(t, xenlab.StartFull(t))
	w.putUsage()
	w.provision(web)
	id := w.owner(web, w.curacao).UUID
	var sent int64
	counted := func() (in, out int64) {
		for _, h := range []*xenlab.Host{w.curacao, w.islay} {
			u := w.ledger(h, id)
			in, out = in+u[accounting.InternalIn4], out+u[accounting.InternalOut4]
		}
		return in, out
	}
	exact := func(when string) {
		t.Helper()
		in, out := counted()
		assert.Equal(t, sent, in, when)
		assert.Equal(t, sent, out, when)
		t.Logf("RESULT %s: %d bytes sent each way, %d in and %d out in the ledgers", when, sent, in, out)
	}
	counted() // both ledgers begin
	sent += w.pings(w.curacao)
	exact("first")

	sent += w.pings(w.curacao) // not read before the vif goes
	vif := network.VifName(w.owner(web, w.curacao).UUID, 0)
	was := w.ifindex(w.curacao, vif)
	w.run(w.curacao, "xl", "reboot", web.name)
	require.Eventually(t, func() bool { now := w.ifindex(w.curacao, vif); return now != 0 && now != was }, 3*time.Minute, time.Second, "a new vif")
	w.acknowledges(web, 3)
	sent += w.pings(w.curacao)
	exact("its reboot, and a new vif")

	sent += w.pings(w.curacao) // not read before the move
	_, err := w.watch(t.Context(), w.curacao, func(string) {}, "xenhost-move", web.name, "--to", islayAddress, "--json")
	require.NoError(t, err)
	w.acknowledges(web, 3)
	counted() // the source reads for the last time, the target begins
	sent += w.pings(w.islay)
	exact("its move")

	require.NoError(t, w.islay.Kill(t.Context()))
	require.NoError(t, w.islay.Boot(t.Context()))
	w.run(w.islay, "xenhost-agent", "boot")
	w.acknowledges(web, 3)
	counted()
	sent += w.pings(w.islay)
	exact("its host's loss of power")
}

// putUsage builds the command usage, a module of its own, and puts it on both
// hosts with their classes.
func (w *world) putUsage() {
	dir := w.t.TempDir()
	build := exec.CommandContext(w.t.Context(), "go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, "xenhost-usage"), ".")
	build.Dir = filepath.Join("..", "..", "examples", "usage")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(w.t, err, string(out))
	for _, h := range []*xenlab.Host{w.curacao, w.islay} {
		require.NoError(w.t, h.Put(w.t.Context(), dir, "/usr/local/bin"))
		require.NoError(w.t, h.Write(w.t.Context(), "/etc/xenhost/classes.json", []byte(`{"internal": ["192.168.0.0/16"]}`), 0o644))
		w.run(h, "sync") // or a power failure takes it all
	}
}

// ledger reads a host's counters into its ledger, and returns what it has of a
// guest.
func (w *world) ledger(h *xenlab.Host, id uuid.UUID) accounting.Usage {
	w.t.Helper()
	var all []accounting.Row
	require.NoError(w.t, json.Unmarshal([]byte(w.run(h, "xenhost-usage", "verify", "--json")), &all))
	for _, r := range all {
		if r.Guest == id {
			return r.Usage
		}
	}
	return accounting.Usage{}
}

// pings sends 200 pings of 1,000 bytes from the IP header on to the guest, which
// answers each, and returns their bytes in one direction.
func (w *world) pings(h *xenlab.Host) int64 {
	w.t.Helper()
	const n, size = 200, 1000
	out := w.run(h, "ping", "-q", "-i", "0.02", "-W", "20", "-c", fmt.Sprint(n), "-s", fmt.Sprint(size-28), web.ip)
	require.Contains(w.t, out, fmt.Sprintf("%d received", n))
	return n * size
}
