package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/owner"
)

const islayAddress = "root@192.168.0.2" // over the crossover cable

// move moves a guest from curacao to islay and returns the report.
func (w *world) move(g guest) migrate.Report {
	t := w.t
	t.Helper()
	start := time.Now()
	out, err := w.watch(t.Context(), w.curacao, func(string) {}, "xenhost-move", g.name, "--to", islayAddress, "--json")
	require.NoError(t, err)
	t.Logf("move took %v\n%s", time.Since(start).Round(time.Second), out)
	var r migrate.Report
	require.NoError(t, json.Unmarshal(out, &r))
	return r
}

// A guest is provisioned from an image, reached from the Internet, moved to
// the other host, and reached there; nothing that it acknowledged is lost, and
// the host that gave it away can not start it.
func TestColdMove(t *testing.T) {
	w := newWorld(t)
	for _, g := range []guest{web, db} {
		t.Run(g.kind, func(t *testing.T) {
			w := *w
			w.t = t
			w.provision(g)
			w.answers(g, w.curacao)

			began := time.Now()
			r := w.move(g)
			assert.Equal(t, handover.Forward, r.Way)
			assert.Equal(t, "islay", r.Owner)
			assert.Equal(t, xen.Clean, r.Ending)
			assert.Equal(t, []string{"islay"}, w.runs(g))
			assert.Equal(t, r.Sums["xvda"], w.sum(g, w.curacao), "the copy that stayed is the one that was compared")

			w.answers(g, w.islay)
			w.acknowledges(g, 5)
			gap := w.observer.Gap(g.name, began, time.Now())
			at := w.records(g, w.islay)
			assert.Equal(t, uint64(2), at.Boots)
			t.Logf("RESULT %s: 0 acknowledged records lost, longest gap as the observer saw it %v, downtime as the mover saw it %v",
				g.kind, gap.Round(100*time.Millisecond), r.Downtime.Round(100*time.Millisecond))

			w.noStart(g, w.curacao)
			assert.Equal(t, []string{"islay"}, w.runs(g))
		})
	}
}

// The mover is killed in the middle of the hand-over, on a real host.
func TestMoverKilled(t *testing.T) {
	w := newWorld(t)
	w.provision(web)

	// After the guest's domain is gone and before the volumes are
	// deactivated: curacao still owns it, and is where it goes on.
	w.killedAt(web, handover.Fence)
	assert.Empty(t, w.runs(web))
	assert.Equal(t, owner.Prepared, w.owner(w.curacao).State)
	w.resumed(web, handover.Back, "curacao")
	w.answers(web, w.curacao)
	w.records(web, w.curacao)

	// After curacao gave it up and before islay took it: nobody runs it, and
	// nothing can start it on curacao.
	w.killedAt(web, handover.Commit)
	assert.Empty(t, w.runs(web))
	assert.Equal(t, owner.Fenced, w.owner(w.curacao).State)
	w.noStart(web, w.curacao)
	w.resumed(web, handover.Forward, "islay")
	w.answers(web, w.islay)
	at := w.records(web, w.islay)
	assert.Equal(t, uint64(3), at.Boots)
	w.noStart(web, w.curacao)
}

// killedAt runs a mover that dies before a step, and waits until islay's agent
// has noticed.
func (w *world) killedAt(g guest, at handover.Name) {
	w.t.Helper()
	last := ""
	_, err := w.watch(w.t.Context(), w.curacao, func(line string) { last = line }, "killmove", g.name, islayAddress, string(at))
	require.Error(w.t, err)
	require.True(w.t, strings.HasPrefix(last, string(at)+" on "), "killed before %q, not %q", last, at)
	// The agent at the other end of the dead mover's ssh ends by itself.
	require.Eventually(w.t, func() bool {
		_, err := w.islay.Run(w.t.Context(), "pgrep", "-x", "xenhost-agent")
		return err != nil
	}, time.Minute, 500*time.Millisecond)
}

// resumed ends a move and tells how it ended.
func (w *world) resumed(g guest, way handover.Way, on string) {
	w.t.Helper()
	var r migrate.Report
	require.NoError(w.t, json.Unmarshal([]byte(w.run(w.curacao, "xenhost-move", g.name, "--to", islayAddress, "--resume", "--json")), &r))
	assert.Equal(w.t, way, r.Way, r.Why)
	assert.Equal(w.t, on, r.Owner)
	assert.Equal(w.t, []string{on}, w.runs(g))
	w.acknowledges(g, 2)
}

// owner reads the one owner record of a host.
func (w *world) owner(h *xenlab.Host) owner.Record {
	w.t.Helper()
	var r owner.Record
	require.NoError(w.t, json.Unmarshal([]byte(w.run(h, "sh", "-c", "cat /var/lib/xenhost/guests/*.owner.json")), &r))
	return r
}

// The target loses its power in the middle of the copy: the guest runs on at
// the source, and a second try succeeds.
func TestTargetLosesPower(t *testing.T) {
	w := newWorld(t)
	w.provision(web)
	began := time.Now()
	pulled := false
	_, err := w.watch(t.Context(), w.curacao, func(line string) {
		if strings.HasPrefix(line, "copy xvda") {
			time.AfterFunc(2*time.Second, func() { // in the middle: a copy takes longer than that
				assert.NoError(t, w.islay.Kill(t.Context()))
			})
			pulled = true
		}
	}, "xenhost-move", web.name, "--to", islayAddress)
	require.Error(t, err)
	require.True(t, pulled)
	assert.Equal(t, owner.Running, w.owner(w.curacao).State)
	w.acknowledges(web, 5)
	w.answers(web, w.curacao)
	t.Logf("RESULT plug of the target pulled: the guest ran on, longest gap %v", w.observer.Gap(web.name, began, time.Now()).Round(100*time.Millisecond))

	require.NoError(t, w.islay.Boot(t.Context()))
	t.Log(w.run(w.islay, "xenhost-agent", "boot"))
	r := w.move(web)
	assert.Equal(t, "islay", r.Owner)
	w.answers(web, w.islay)
	w.records(web, w.islay)
	w.noStart(web, w.curacao)
}
