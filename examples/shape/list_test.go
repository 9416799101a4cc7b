package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/shaping/shapingtest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/xentest"
)

func TestLook(t *testing.T) { synctest.Test(t, testLook) } // its measuring time is exact

func testLook(t *testing.T) {
	rates := shapingtest.New(nil)
	h := host.New(host.Config{
		Name: "curacao", Domains: xentest.New(nil), Volumes: lvmtest.New(t.TempDir(), lvmtest.GroupSpec{Name: "guests"}),
		Network: networktest.New(nil), Shaping: rates, StateDir: t.TempDir(),
		Uplink: shaping.Uplink{Dev: "eth0", Rate: shaping.Gbit},
	})
	_, err := h.Boot(t.Context())
	require.NoError(t, err)
	g, err := h.Provision(t.Context(), host.Guest{
		UUID: uuid.MustParse("7f3a0000-0000-4000-8000-000000000001"), Name: "web1", Memory: 128 << 20, Kernel: "/boot/vmlinuz",
		Disks: []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: "web1"}, Size: 4 << 20}},
		Nics:  []host.Nic{{Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, 1}}},
		Rates: shaping.Policy{Download: 100 * shaping.Mbit, Upload: 10 * shaping.Mbit},
	}, nil)
	require.NoError(t, err)

	rates.Carry(g.UUID, 1<<30, 1<<30) // before the measure: it does not count
	carried := time.AfterFunc(20*time.Millisecond, func() { rates.Carry(g.UUID, 1<<20, 0) })
	defer carried.Stop()
	rows, err := look(t.Context(), h, 200*time.Millisecond)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	assert.True(t, rows[0].InForce)
	assert.Zero(t, rows[0].Upload)
	assert.Equal(t, shaping.Rate(1<<23*5), rows[0].Download)

	rates.Plug("x7f3a0000.0")
	require.NoError(t, err)
	rows, err = look(t.Context(), h, time.Millisecond)
	require.NoError(t, err)
	assert.False(t, rows[0].InForce, "a vif that came without its limit")

	require.NoError(t, h.Throttle(t.Context(), g.UUID, shaping.Throttle{Rate: shaping.Mbit}))
	rows, err = look(t.Context(), h, time.Millisecond)
	require.NoError(t, err)
	var out strings.Builder
	table(&out, rows)
	assert.Equal(t, "NAME\tRECEIVES\tSENDS\tDROPS\tIN FORCE\tCONFIGURED\n"+
		"web1\t0bit\t0bit\t0\tyes\tdownload 100mbit upload 10mbit throttle 1mbit\n", out.String())
}

func TestParseThrottle(t *testing.T) {
	th, err := parseThrottle("1mbit", "2026-12-01T00:00:00Z", 0)
	require.NoError(t, err)
	assert.Equal(t, "throttle 1mbit until 2026-12-01T00:00:00Z", th.String())
	th, err = parseThrottle("1mbit", "", time.Hour)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(time.Hour), th.Until, 2*time.Second)
	for _, c := range []struct {
		rate, until string
		length      time.Duration
	}{{"1", "", 0}, {"0bit", "", 0}, {"1mbit", "tomorrow", 0}, {"1mbit", "2026-12-01T00:00:00Z", time.Hour}, {"1mbit", "", -1}} {
		_, err := parseThrottle(c.rate, c.until, c.length)
		var usage cli.UsageError
		assert.ErrorAs(t, err, &usage, "%+v", c)
	}
}

func TestShort(t *testing.T) {
	assert.Equal(t, "97.6mbit", short(97_560_000))
	assert.Equal(t, "1.0gbit", short(shaping.Gbit))
	assert.Equal(t, "0bit", short(0))
	assert.Equal(t, shaping.Rate(8000), rate(0, 1000, time.Second))
	assert.Equal(t, shaping.Rate(800), rate(1000, 100, time.Second), "a vif that was made anew")
}
