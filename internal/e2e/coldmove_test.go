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

// Guests are provisioned from an image, reached from the Internet, moved to
// the other host, and reached there; nothing that they acknowledged is lost,
// and the host that gave them away can not start them. On the way the other
// host loses its power once, and a mover is killed in the worst moment.
func TestColdMove(t *testing.T) {
	w := newWorld(t, xenlab.Start(t))
	t.Run("pvh", func(t *testing.T) {
		w := w.in(t)
		w.provision(web)
		w.answers(web, w.curacao)
		w.plugPulled(web)
		w.moved(web)
	})
	t.Run("pv, mover killed", func(t *testing.T) {
		w := w.in(t)
		w.provision(db)
		w.answers(db, w.curacao)
		w.killedInCutOver(db)
	})
}

// TestColdMoveFull are the stories that not every change has to wait for.
func TestColdMoveFull(t *testing.T) {
	w := newWorld(t, xenlab.StartFull(t))
	t.Run("pv", func(t *testing.T) {
		w := w.in(t)
		w.provision(db)
		w.answers(db, w.curacao)
		w.moved(db)
	})
	t.Run("mover killed twice", func(t *testing.T) {
		w := w.in(t)
		w.provision(mail)
		w.killedBeforeFence(mail)
		w.killedInCutOver(mail)
	})
}

const islayAddress = "root@192.168.0.2" // over the crossover cable

// moved moves a guest from curacao to islay and proves what a move promises.
func (w *world) moved(g guest) {
	t := w.t
	t.Helper()
	began := time.Now()
	out, err := w.watch(t.Context(), w.curacao, func(string) {}, "xenhost-move", g.name, "--to", islayAddress, "--json")
	require.NoError(t, err)
	t.Logf("move took %v\n%s", time.Since(began).Round(time.Second), out)
	var r migrate.Report
	require.NoError(t, json.Unmarshal(out, &r))
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
}

// plugPulled lets the target lose its power in the middle of the copy: the
// guest runs on at the source. The target is booted again.
func (w *world) plugPulled(g guest) {
	t := w.t
	t.Helper()
	began := time.Now()
	pulled := make(chan error, 1)
	_, err := w.watch(t.Context(), w.curacao, func(line string) {
		if strings.HasPrefix(line, "copy xvda") {
			// A copy takes several times as long as this.
			time.AfterFunc(time.Second, func() { pulled <- w.islay.Kill(t.Context()) })
		}
	}, "xenhost-move", g.name, "--to", islayAddress)
	require.Error(t, err)
	select {
	case err := <-pulled:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		t.Fatal("the move ended before its copy began")
	}
	assert.Equal(t, owner.Running, w.owner(g, w.curacao).State)
	w.acknowledges(g, 5)
	w.answers(g, w.curacao)
	assert.Equal(t, uint64(1), w.observer.Acks(g.name)[len(w.observer.Acks(g.name))-1].Boot, "it never stopped")
	t.Logf("RESULT plug of the target pulled: the guest ran on, longest gap %v", w.observer.Gap(g.name, began, time.Now()).Round(100*time.Millisecond))

	require.NoError(t, w.islay.Boot(t.Context()))
	assert.Contains(t, w.run(w.islay, "xenhost-agent", "boot"), "unfinished  1")
}

// killedBeforeFence kills the mover after the guest's domain is gone and before
// the volumes are deactivated: curacao still owns it, and there it goes on.
func (w *world) killedBeforeFence(g guest) {
	t := w.t
	t.Helper()
	w.killedAt(g, handover.Fence)
	assert.Empty(t, w.runs(g))
	assert.Equal(t, owner.Prepared, w.owner(g, w.curacao).State)
	w.resumed(g, handover.Back, "curacao")
	w.answers(g, w.curacao)
}

// killedInCutOver kills the mover after curacao gave the guest up and before
// islay took it: nobody runs it, and nothing can start it on curacao.
func (w *world) killedInCutOver(g guest) {
	t := w.t
	t.Helper()
	w.killedAt(g, handover.Commit)
	assert.Empty(t, w.runs(g))
	assert.Equal(t, owner.Fenced, w.owner(g, w.curacao).State)
	w.noStart(g, w.curacao)
	w.resumed(g, handover.Forward, "islay")
	w.answers(g, w.islay)
	w.records(g, w.islay)
	w.noStart(g, w.curacao)
	assert.Equal(t, []string{"islay"}, w.runs(g))
	t.Logf("RESULT %s, mover killed in the cut-over: nothing started on curacao, resumed on islay, 0 acknowledged records lost", g.kind)
}

// killedAt runs a mover that dies before a step, and waits until islay's agent
// has noticed.
func (w *world) killedAt(g guest, at handover.Name) {
	w.t.Helper()
	last := ""
	_, err := w.watch(w.t.Context(), w.curacao, func(line string) { last = line }, "killmove", g.name, islayAddress, string(at))
	require.Error(w.t, err)
	require.True(w.t, strings.HasPrefix(last, string(at)+" on "), "killed before %q, not %q", last, at)
	// The agent at the other end of the dead mover's ssh ends by itself. (Those
	// of earlier moves may be zombies: a lab host's init does not reap.)
	require.Eventually(w.t, func() bool {
		_, err := w.islay.Run(w.t.Context(), "pgrep", "-x", "-r", "D,R,S", "xenhost-agent")
		return err != nil
	}, 5*time.Minute, time.Second)
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
