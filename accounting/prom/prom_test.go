package prom_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/accountingtest"
	"github.com/xenhost/xenhost/accounting/prom"
	"github.com/xenhost/xenhost/accounting/sqlite"
)

var web1 = uuid.MustParse("7f3a0000-0000-4000-8000-000000000001")

func feed(t testing.TB, s accounting.Store, guests ...uuid.UUID) {
	t.Helper()
	began := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	for i := range 2 {
		var all []accounting.Sample
		for _, g := range guests {
			all = append(all, accountingtest.Counted(g, "a", uint64(1000*i)),
				accounting.Sample{Guest: g, Key: accounting.Key{Metric: accounting.CPU}, Epoch: "a", Value: uint64(i) * 1_500_000_000},
				accounting.Sample{Guest: g, Key: accounting.Key{Metric: accounting.Memory}, Epoch: "a", Value: 1024})
		}
		require.NoError(t, s.Fold(t.Context(), accountingtest.Reading(began, time.Minute*time.Duration(1+i), all...)))
	}
}

func TestCollector(t *testing.T) {
	s := accountingtest.New()
	feed(t, s, web1)
	require.NoError(t, s.SetQuota(t.Context(), accounting.Quota{Guest: web1, Limit: 1e12, TopUp: 5}))
	c := prom.New(s, &prom.Options{Name: func(uuid.UUID) string { return "web1" }})
	problems, err := testutil.CollectAndLint(c)
	require.NoError(t, err)
	assert.Empty(t, problems)
	const labels = `name="web1",uuid="7f3a0000-0000-4000-8000-000000000001"`
	require.NoError(t, testutil.CollectAndCompare(c, strings.NewReader(`
# HELP xenhost_cpu_seconds_total CPU time of a guest.
# TYPE xenhost_cpu_seconds_total counter
xenhost_cpu_seconds_total{`+labels+`} 1.5
# HELP xenhost_memory_byte_seconds_total Memory allocated to a guest, times seconds.
# TYPE xenhost_memory_byte_seconds_total counter
xenhost_memory_byte_seconds_total{`+labels+`} 6.291456e+07
# HELP xenhost_quota_bytes External traffic that a guest may have in a period, with what it bought.
# TYPE xenhost_quota_bytes gauge
xenhost_quota_bytes{`+labels+`} 1.000000000005e+12
`), "xenhost_cpu_seconds_total", "xenhost_memory_byte_seconds_total", "xenhost_quota_bytes"))
	assert.Equal(t, 4, testutil.CollectAndCount(c))
}

// TestFailedScrape: a ledger that is gone is an error, not zeros.
func TestFailedScrape(t *testing.T) {
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"), nil)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	r := prometheus.NewRegistry()
	r.MustRegister(prom.New(s, nil))
	_, err = r.Gather()
	require.Error(t, err)
}

// The dashboard asks for metrics that there are.
func TestDashboard(t *testing.T) {
	require.True(t, json.Valid([]byte(prom.Dashboard())))
	s := accountingtest.New()
	feed(t, s, web1)
	ops := accounting.Sample{Guest: web1, Key: accounting.Key{Metric: accounting.DiskReadOps}, Epoch: "a", Value: 1}
	require.NoError(t, s.Fold(t.Context(), accountingtest.Reading(time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC), time.Hour, ops)))
	require.NoError(t, s.SetQuota(t.Context(), accounting.Quota{Guest: web1, Limit: 1}))
	r := prometheus.NewRegistry()
	r.MustRegister(prom.New(s, nil))
	all, err := r.Gather()
	require.NoError(t, err)
	have := map[string]bool{}
	for _, f := range all {
		have[f.GetName()] = true
	}
	for _, name := range regexp.MustCompile(`xenhost_[a-z_]+`).FindAllString(prom.Dashboard(), -1) {
		assert.True(t, have[name], name)
	}
}

// A scrape of a thousand guests.
func BenchmarkScrape(b *testing.B) {
	s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "ledger.db"), nil)
	require.NoError(b, err)
	defer s.Close()
	var guests []uuid.UUID
	for i := range 1000 {
		guests = append(guests, uuid.MustParse(fmt.Sprintf("7f3a0000-0000-4000-8000-%012d", i)))
	}
	feed(b, s, guests...)
	c := prom.New(s, nil)
	for b.Loop() {
		to := make(chan prometheus.Metric, 30_000)
		c.Collect(to)
	}
}
