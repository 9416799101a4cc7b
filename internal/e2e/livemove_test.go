package e2e

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/migrate"
	"github.com/xenhost/xenhost/migrate/handover"
)

const curacaoAddress = "root@192.168.0.1" // over the crossover cable

// TestLiveMove moves a running PVH guest with a local volume to the other host
// and back, while it writes and is asked over HTTP: it never boots again, no
// acknowledged record is lost, and the disks are equal when it changes hosts.
// The way back sends what changed, and the hashes that find it out.
func TestLiveMove(t *testing.T) {
	w := newWorld(t, xenlab.StartFull(t))
	w.provision(web)
	w.answers(web, w.curacao)
	there := w.movedLive(web, w.curacao, w.islay, islayAddress)
	assert.Zero(t, there.Passes[0].Asked)
	assert.Greater(t, onWire(there), int64(imageSize-1<<20), "its image does not pack")
	back := w.movedLive(web, w.islay, w.curacao, curacaoAddress)
	assert.EqualValues(t, guestSize/256, back.Passes[0].Asked)
	assert.Less(t, back.Passes[0].Wire, there.Passes[0].Wire, "its image, of which nothing changed, stayed there")
	t.Logf("RESULT disk of %d bytes: %d on the wire there, %d back, of them %d hashes", guestSize, onWire(there), onWire(back), back.Passes[0].Asked)
}

// onWire is what went from disk to disk, hashes included.
func onWire(r migrate.Report) (n int64) {
	for _, p := range r.Passes {
		n += p.Wire + p.Asked
	}
	return n
}

// TestPVMove: a PV guest, whose writes Xen can not follow, goes by save and
// restore through the same gate.
func TestPVMove(t *testing.T) {
	w := newWorld(t, xenlab.StartFull(t))
	w.provision(db)
	w.movedLive(db, w.curacao, w.islay, islayAddress)
}

// movedLive moves a guest from a host to another and proves what a live move
// promises.
func (w *world) movedLive(g guest, from, to *xenlab.Host, address string) migrate.Report {
	t := w.t
	t.Helper()
	began := time.Now()
	out, err := w.watch(t.Context(), from, func(string) {}, "xenhost-move", g.name, "--to", address, "--live", "--verify-full", "--json")
	if err != nil {
		w.run(from, "xl", "list", "-v")
		w.run(to, "xl", "list", "-v")
	}
	require.NoError(t, err)
	t.Logf("move took %v\n%s", time.Since(began).Round(time.Second), out)
	var r migrate.Report
	require.NoError(t, json.Unmarshal(out, &r))
	assert.Equal(t, handover.Forward, r.Way)
	assert.Equal(t, to.Name(), r.Owner)
	assert.False(t, r.Lost)
	assert.Equal(t, []string{to.Name()}, w.runs(g))
	assert.Equal(t, r.Sums["xvda"], w.sum(g, from), "the copy that stayed is the one that was compared")

	w.acknowledges(g, 5)
	acks := w.observer.Acks(g.name)
	assert.Equal(t, uint64(1), acks[len(acks)-1].Boot, "it never booted again")
	w.answers(g, to)
	gap := w.observer.Gap(g.name, began, time.Now())
	at := w.records(g, to)
	assert.Equal(t, uint64(1), at.Boots)
	t.Logf("RESULT %s live from %s to %s: 0 acknowledged records lost, 1 boot, longest gap as the observer saw it %v, downtime as the mover saw it %v, memory %d bytes of them %d zeros, %d on the wire",
		g.kind, from.Name(), to.Name(), gap.Round(100*time.Millisecond), r.Downtime.Round(100*time.Millisecond), r.Memory.Bytes, r.Memory.Zeros, r.Memory.Wire)
	w.noStart(g, from)
	assert.Equal(t, []string{to.Name()}, w.runs(g))
	return r
}
