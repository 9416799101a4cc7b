package meter_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/meter"
	"github.com/xenhost/xenhost/accounting/sqlite"
)

var (
	web1 = uuid.UUID{1}
	db1  = uuid.UUID{2}
)

func deadline() time.Time { return time.Now().Add(10 * time.Second) }

func ports() []meter.Port {
	return []meter.Port{{Guest: web1, Dev: "0", Vif: "vif1.0"}, {Guest: db1, Dev: "0", Vif: "vif2.0", Routed: true}}
}

func classes() meter.Classes {
	return meter.Classes{
		Internal: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("10.0.0.0/8")},
		Peer:     []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	}
}

func (s street) meter(tb testing.TB) *meter.Linux {
	return meter.New(&meter.Options{Classes: classes(), NetNS: s.dom0.Path(), LockDir: tb.TempDir()})
}

// read is what a guest's counters show now.
func read(tb testing.TB, m *meter.Linux, guest uuid.UUID) (u accounting.Usage) {
	tb.Helper()
	all, err := m.Read(tb.Context(), ports())
	require.NoError(tb, err)
	for _, s := range all {
		if s.Guest == guest {
			u[s.Metric] += int64(s.Value)
		}
	}
	return u
}

// TestClasses: each datagram is counted once, in its class, version and
// direction, to the byte; for guests in a bridge and for routed ones.
func TestClasses(t *testing.T) {
	s := newStreet(t)
	m := s.meter(t)
	assert.Zero(t, read(t, m, web1))
	want := accounting.Usage{}
	want[accounting.InternalOut4] += sends(t, s.guest, s.world, "198.51.100.2", "198.51.100.9", 10, 100)
	want[accounting.ExternalOut4] += sends(t, s.guest, s.world, "198.51.100.2", "203.0.113.9", 20, 100)
	want[accounting.ExternalIn4] += sends(t, s.world, s.guest, "203.0.113.9", "198.51.100.2", 30, 100)
	want[accounting.PeerOut4] += sends(t, s.guest, s.world, "198.51.100.2", "192.0.2.9", 40, 100)
	want[accounting.PeerIn4] += sends(t, s.world, s.guest, "192.0.2.9", "198.51.100.2", 50, 100)
	want[accounting.ExternalOut6] += sends(t, s.guest, s.world, "2001:db8::2", "2001:db8::9", 60, 1000)
	want[accounting.ExternalIn6] += sends(t, s.world, s.guest, "2001:db8::9", "2001:db8::2", 70, 1000)
	got := read(t, m, web1)
	// neighbour solicitations are to multicast and unicast addresses
	assert.InDelta(t, want[accounting.ExternalOut6], got[accounting.ExternalOut6], 300)
	assert.InDelta(t, want[accounting.ExternalIn6], got[accounting.ExternalIn6], 300)
	for _, metric := range []accounting.Metric{accounting.ExternalIn6, accounting.ExternalOut6, accounting.InternalIn6, accounting.InternalOut6} {
		got[metric], want[metric] = 0, 0
	}
	assert.Equal(t, want, got)

	want = accounting.Usage{}
	want[accounting.InternalOut4] += sends(t, s.routed, s.world, "10.7.0.2", "198.51.100.9", 10, 200)
	want[accounting.InternalIn4] += sends(t, s.world, s.routed, "198.51.100.9", "10.7.0.2", 20, 200)
	got = read(t, m, db1)
	got[accounting.InternalIn6], got[accounting.InternalOut6] = 0, 0 // its link says hello
	assert.Equal(t, want, got)
	before := read(t, m, web1)
	assert.Equal(t, before[accounting.ExternalOut4], read(t, s.meter(t), web1)[accounting.ExternalOut4], "another process reads the same")

	other := meter.New(&meter.Options{NetNS: s.dom0.Path(), LockDir: t.TempDir()})
	assert.Equal(t, before[accounting.ExternalOut4], read(t, other, web1)[accounting.ExternalOut4], "new classes keep what was counted")
	out := sends(t, s.guest, s.world, "198.51.100.2", "198.51.100.9", 1, 100)
	assert.Equal(t, before[accounting.ExternalOut4]+out, read(t, other, web1)[accounting.ExternalOut4])
}

// TestLedger sends known bytes while all that can happen to counters does: the
// vif is made anew, the process that reads is away, somebody flushes the tables,
// resets counters, takes parts of the tables away.
func TestLedger(t *testing.T) {
	s := newStreet(t)
	ledger, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"), nil)
	require.NoError(t, err)
	defer ledger.Close()
	var m *meter.Linux
	list := func(context.Context) ([]meter.Port, error) { return ports(), nil }
	r := &accounting.Recorder{Store: ledger, Clock: meter.Clock}
	start := func() { // a process that knows nothing but the file and the kernel
		m = s.meter(t)
		r.Sources = []accounting.Source{m.Source(list)}
	}
	record := func() { require.NoError(t, r.Record(t.Context(), nil)) }
	start()
	record()
	var sent int64
	send := func(n int) { sent += sends(t, s.guest, s.world, "198.51.100.2", "203.0.113.9", n, 900) }
	send(100)
	record()
	s.unplug(t) // the guest reboots, or reconnects its vif to set its counters back
	s.plug(t)
	send(100)
	s.unplug(t)
	s.plug(t)
	send(100)
	start() // the agent was killed
	send(100)
	record()
	s.dom0.Run(t, "", "nft", "flush", "ruleset")
	record()
	send(100)
	record()
	s.dom0.Run(t, "", "nft", "flush", "set", "bridge", "xenhost_meter", "external_in4")
	record()
	send(100)
	record()
	const element = ` element bridge xenhost_meter external_out4 { "vif1.0" }`
	s.dom0.Run(t, "delete"+element+"\nadd"+element+"\n", "nft", "-f", "-") // its counter begins at 0
	s.dom0.Run(t, "", "nft", "delete", "table", "inet", "xenhost_meter")
	record()
	send(100)
	record()

	totals, err := ledger.Totals(t.Context())
	require.NoError(t, err)
	require.Len(t, totals, 2)
	billed := totals[0].Usage[accounting.ExternalOut4]
	assert.InEpsilon(t, sent, billed, 0.005)
	assert.LessOrEqual(t, billed, sent, "nothing is billed that was not sent")
	t.Logf("RESULT %d bytes sent, %d billed (%.3f %%)", sent, billed, 100*float64(billed)/float64(sent))
}

// TestPorts: a guest that leaves is read once more, and then its vif is nobody's.
func TestPorts(t *testing.T) {
	s := newStreet(t)
	m := s.meter(t)
	_, err := m.Read(t.Context(), ports())
	require.NoError(t, err)
	sent := sends(t, s.guest, s.world, "198.51.100.2", "203.0.113.9", 5, 100)
	all, err := m.Read(t.Context(), ports()[1:])
	require.NoError(t, err)
	require.Len(t, all, 24, "for the last time")
	var last int64
	for _, x := range all {
		if x.Guest == web1 && x.Metric == accounting.ExternalOut4 {
			last = int64(x.Value)
		}
	}
	assert.Equal(t, sent, last)
	all, err = m.Read(t.Context(), ports()[1:])
	require.NoError(t, err)
	assert.Len(t, all, 12)
	require.NoError(t, m.Sync(t.Context(), ports()[:1]))
	all, err = m.Read(t.Context(), ports())
	require.NoError(t, err)
	assert.Len(t, all, 24, "Sync left the other one alone")

	moved := []meter.Port{{Guest: web1, Dev: "0", Vif: "vif9.0"}}
	all, err = m.Read(t.Context(), moved)
	require.NoError(t, err)
	assert.Len(t, all, 24, "one sample of a guest's device, and db1's last")
	for _, bad := range [][]meter.Port{
		{{Guest: web1, Dev: "0", Vif: `a" } `}}, {{Guest: web1, Dev: "", Vif: "a"}}, {{Dev: "0", Vif: "a"}}, {ports()[0], ports()[0]},
	} {
		_, err := m.Read(t.Context(), bad)
		require.ErrorIs(t, err, accounting.ErrInvalid)
	}
	s.dom0.Run(t, s.dom0.Run(t, "", "nft", "list", "ruleset"), "nft", "-c", "-f", "-") // it can be saved and loaded
}
