package e2e

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// TestReplicaPromote: a guest is replicated while it writes, again by what
// changed, and its host loses its power. On the other host the replica becomes
// the guest: it is reached there, and has all that it acknowledged before the
// last generation. The old host comes back, starts nothing, and gets what differs.
func TestReplicaPromote(t *testing.T) {
	w := newWorld(t, xenlab.StartFull(t))
	w.peers()
	w.provisionOn(w.curacao, web, "192.168.0.2") // by islay, which stays
	w.answers(web, w.curacao)
	first := w.replicated(w.curacao, islayAddress)
	t.Logf("RESULT first copy: %d bytes sent in %v", first.Sent, first.Duration.Round(time.Millisecond))
	w.noStart(web, w.islay)

	w.acknowledges(web, 5)
	before := w.observer.Acked(web.name)
	second := w.replicated(w.curacao, islayAddress, "--verify")
	require.Len(t, second.Disks, 1)
	disk := second.Disks[0]
	assert.Equal(t, blockcopy.ByChanges, disk.How, second.Notes)
	assert.Less(t, disk.Stats.Read, int64(guestSize/4), "only what changed was read")
	assert.Less(t, second.Sent, first.Sent/2)
	assert.Equal(t, 2, second.Generation.Number)
	assert.NotEmpty(t, second.Generation.Sums["xvda"], "both hosts read all of it again")
	t.Logf("RESULT delta: read %d of %d bytes, sent %d, in %v", disk.Stats.Read, guestSize, second.Sent, second.Duration.Round(time.Millisecond))
	w.health(0, "--max-age", "1h")
	w.health(1, "--max-age", "1s")

	w.acknowledges(web, 5)
	require.NoError(t, w.curacao.Kill(t.Context()))
	lastly := w.observer.Acked(web.name)
	promoted := w.promoted()
	w.oldHostReturns()

	w.run(w.islay, "lvcreate", "-qq", "-y", "-s", "-c", "4k", "-L", "32M", "-kn", "-n", "look", "guests/"+web.name)
	at := w.read(w.islay, "/dev/guests/look", 0)
	w.run(w.islay, "lvremove", "-qq", "-y", "guests/look")
	acked := w.ackedIn(1)
	t.Logf("RESULT generation of %v before the promotion; %d records acknowledged at the snapshot, %d at the power failure, on %d it goes on",
		promoted.Window.Round(time.Second), before, acked, w.firstOf(2)-1)
	assert.LessOrEqual(t, lastly, acked)
	assert.GreaterOrEqual(t, w.firstOf(2), before, "nothing from before the last generation is lost")
	assert.LessOrEqual(t, w.firstOf(2), acked+1)
	assert.Equal(t, uint64(2), at.Boots)
}

// peers makes each host ask the other one at boot.
func (w *world) peers() {
	w.t.Helper()
	for h, peer := range map[*xenlab.Host]cli.Peer{
		w.curacao: {Name: "islay", SSH: islayAddress}, w.islay: {Name: "curacao", SSH: curacaoAddress},
	} {
		settings, err := json.Marshal(cli.Settings{
			Name:        h.Name(),
			Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix("192.168.0.0/24"), Out: "xenext"}},
			Grace:       "120s", Peers: []cli.Peer{peer},
		})
		require.NoError(w.t, err)
		require.NoError(w.t, h.Write(w.t.Context(), "/etc/xenhost/host.json", settings, 0o644))
		w.run(h, "sync") // or a power failure takes it
	}
}

// replicated runs one night of the guest web.
func (w *world) replicated(h *xenlab.Host, to string, more ...string) replica.Report {
	w.t.Helper()
	var results []replica.Result
	out := w.run(h, append([]string{"xenhost-nightly", "run", web.name, "--to", to, "--json"}, more...)...)
	require.NoError(w.t, json.Unmarshal([]byte(out), &results))
	require.Len(w.t, results, 1)
	return results[0].Report
}

// health asks as monitoring does, and wants an exit code.
func (w *world) health(code int, more ...string) {
	w.t.Helper()
	out, err := w.curacao.Run(w.t.Context(), append([]string{"xenhost-nightly", "check", "--to", islayAddress}, more...)...)
	w.t.Logf("check: %s", out)
	if code == 0 {
		require.NoError(w.t, err)
		return
	}
	var failed *dom0.Error
	require.True(w.t, errors.As(err, &failed), "%v", err)
	require.Equal(w.t, code, failed.ExitCode)
}

// promoted makes the replica on islay the guest, while curacao is off.
func (w *world) promoted() (p replica.Promotion) {
	t := w.t
	t.Helper()
	assert.Contains(t, w.refused(w.islay, "xenhost-nightly", "promote", web.name, "--dead", "islay", "--vouch", "powered off"), "the replica is of curacao")
	argv := []string{"xenhost-nightly", "promote", web.name, "--dead", "curacao", "--vouch", "powered off"}
	w.run(w.islay, append(argv, "--dry-run")...)
	assert.Equal(t, owner.Replica, w.owner(web, w.islay).State)
	began := time.Now()
	require.NoError(t, json.Unmarshal([]byte(w.run(w.islay, append(argv, "--verify", "--json")...)), &p))
	assert.True(t, p.Started)
	w.answers(web, w.islay)
	t.Logf("RESULT promoted, and reached from the Internet after %v", time.Since(began).Round(100*time.Millisecond))
	require.Eventually(t, func() bool { return w.firstOf(2) > 0 }, 10*time.Minute, time.Second, "it acknowledges in its second boot")
	assert.Equal(t, uint64(2), w.owner(web, w.islay).Epoch)
	assert.Equal(t, owner.Override{Host: "curacao", Vouch: owner.PoweredOff}, w.owner(web, w.islay).Override)
	return p
}

// oldHostReturns boots curacao: it starts nothing, and becomes the replica.
func (w *world) oldHostReturns() {
	t := w.t
	t.Helper()
	require.NoError(t, w.curacao.Boot(t.Context()))
	assert.Contains(t, w.run(w.curacao, "xenhost-agent", "boot"), "superseded  1")
	assert.Equal(t, []string{"islay"}, w.runs(web))
	w.run(w.islay, "xenhost-move", web.name, "--to", curacaoAddress, "--resume")
	assert.Equal(t, owner.Released, w.owner(web, w.curacao).State)
	back := w.replicated(w.islay, curacaoAddress)
	assert.Equal(t, blockcopy.ByHashes, back.Disks[0].How)
	assert.Less(t, back.Disks[0].Stats.Data, int64(imageSize/2), "its old copy is asked, and the image does not travel again")
	t.Logf("RESULT the way back: sent %d bytes, of them %d of the disk", back.Sent, back.Disks[0].Stats.Data)
	assert.Equal(t, owner.Replica, w.owner(web, w.curacao).State)
	w.noStart(web, w.curacao)
	w.answers(web, w.islay)
}

// ackedIn is the last record that web acknowledged in a boot, firstOf the first
// one; 0: none.
func (w *world) ackedIn(boot uint64) (last uint64) {
	for _, a := range w.observer.Acks(web.name) {
		if a.Boot == boot {
			last = max(last, a.Number)
		}
	}
	return last
}

func (w *world) firstOf(boot uint64) uint64 {
	for _, a := range w.observer.Acks(web.name) {
		if a.Boot == boot {
			return a.Number
		}
	}
	return 0
}
