package meter_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/meter"
	"github.com/xenhost/xenhost/accounting/quota"
	"github.com/xenhost/xenhost/accounting/sqlite"
	"github.com/xenhost/xenhost/shaping"
)

// rates throttles as host.Host does: a guest's definition with the throttle.
type rates struct{ *shaping.Linux }

func (r rates) Throttle(ctx context.Context, guest uuid.UUID, t shaping.Throttle) error {
	return r.Set(ctx, shaping.Guest{UUID: guest, Vifs: []string{"vif1.0"}, Policy: shaping.Policy{Download: 100 * shaping.Mbit}, Throttle: t})
}

// flood sends datagrams of 1,000 bytes from the IP header on without waiting,
// and returns the bytes that arrived.
func (s street) flood(tb testing.TB, n int) (bytes int64) {
	tb.Helper()
	var sender, receiver net.PacketConn
	s.world.Inside(tb, func() (err error) { receiver, err = net.ListenPacket("udp", "203.0.113.9:0"); return err })
	defer receiver.Close()
	s.guest.Inside(tb, func() (err error) { sender, err = net.ListenPacket("udp", "198.51.100.2:0"); return err })
	defer sender.Close()
	buf := make([]byte, 2000)
	for range n {
		_, err := sender.WriteTo(make([]byte, 972), receiver.LocalAddr())
		require.NoError(tb, err)
	}
	for {
		require.NoError(tb, receiver.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
		if _, _, err := receiver.ReadFrom(buf); err != nil {
			return bytes
		}
		bytes += 1000
	}
}

// TestQuota: on real traffic, warned once, throttled by tc, stopped by the kernel
// at the byte while nothing of ours runs, let go by a top-up and by a new month.
func TestQuota(t *testing.T) {
	s := newStreet(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	locks := t.TempDir()
	now := time.Now
	var events []accounting.Level
	var e *quota.Enforcer
	var r *accounting.Recorder
	start := func() (stop func()) { // a process that knows only its file and the kernel
		ledger, err := sqlite.Open(t.Context(), path, nil)
		require.NoError(t, err)
		m := meter.New(&meter.Options{Classes: classes(), NetNS: s.dom0.Path(), LockDir: locks})
		e = &quota.Enforcer{Store: ledger, Limiter: m, Rate: 2 * shaping.Mbit, Now: func() time.Time { return now() },
			Throttler: rates{shaping.New(&shaping.Options{NetNS: s.dom0.Path(), LockDir: locks})},
			Hook:      func(_ context.Context, e quota.Event) error { events = append(events, e.Level); return nil }}
		r = &accounting.Recorder{Store: ledger, Clock: meter.Clock, Sources: []accounting.Source{
			m.Source(func(context.Context) ([]meter.Port, error) { return ports(), nil })}}
		return func() { require.NoError(t, ledger.Close()) }
	}
	act := func() {
		require.NoError(t, r.Record(t.Context(), nil))
		require.NoError(t, e.Enforce(t.Context()))
	}
	stop := start()
	require.NoError(t, e.Store.SetQuota(t.Context(), accounting.Quota{Guest: web1, Limit: 100_000, Warn: 80, Soft: true, Hard: 120}))
	act()
	assert.Equal(t, int64(70_000), s.flood(t, 70))
	act()
	assert.Empty(t, events)
	assert.Equal(t, int64(15_000), s.flood(t, 15))
	act()
	stop()
	stop = start()
	act()
	assert.Equal(t, []accounting.Level{accounting.LevelWarn}, events, "once, also after a restart")

	assert.Equal(t, int64(17_000), s.flood(t, 17))
	began := time.Now()
	act()
	assert.Equal(t, []accounting.Level{accounting.LevelWarn, accounting.LevelSoft}, events)
	assert.Regexp(t, `qdisc tbf 5650: .*rate 2Mbit`, s.dom0.Run(t, "", "tc", "qdisc", "show", "dev", "vif1.0"))
	throttled := time.Since(began)

	stop() // nobody is here
	arrived := s.flood(t, 100)
	assert.LessOrEqual(t, int64(102_000)+arrived, int64(120_000), "the kernel stops it")
	assert.GreaterOrEqual(t, int64(102_000)+arrived, int64(119_000), "at the last packet that fits")
	s.unplug(t)
	s.plug(t)
	assert.Zero(t, s.flood(t, 10), "a new vif changes nothing")
	assert.Equal(t, int64(1280), sends(t, s.guest, s.world, "198.51.100.2", "198.51.100.9", 10, 100), "internal traffic goes on")

	stop = start()
	act()
	began = time.Now()
	_, err := e.TopUp(t.Context(), web1, 100_000)
	require.NoError(t, err)
	lifted := time.Since(began)
	assert.Equal(t, int64(40_000), s.flood(t, 40))
	assert.Regexp(t, `qdisc tbf 5650: .*rate 100Mbit`, s.dom0.Run(t, "", "tc", "qdisc", "show", "dev", "vif1.0"))
	arrived += 40_000 + s.flood(t, 150)
	assert.LessOrEqual(t, int64(102_000)+arrived, int64(240_000))
	assert.Greater(t, int64(102_000)+arrived, int64(238_000))
	act()

	next := time.Now().AddDate(0, 1, 0)
	now = func() time.Time { return next }
	require.NoError(t, e.Enforce(t.Context()))
	assert.Equal(t, int64(40_000), s.flood(t, 40), "a new month")
	require.NoError(t, e.Store.SetQuota(t.Context(), accounting.Quota{Guest: web1}))
	require.NoError(t, e.Enforce(t.Context()))
	assert.NotContains(t, s.dom0.Run(t, "", "nft", "list", "table", "bridge", "xenhost_meter"), "over ")
	stop()
	t.Logf("RESULT throttled %v after the reading, lifted in %v, stopped after %d of 240000 bytes", throttled, lifted, 102_000+arrived)
}
