package diskrate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/shaping/diskrate"
)

// TestLabFull runs the package's tests in the dom0 of a real Xen host.
func TestLabFull(t *testing.T) {
	lab := xenlab.StartFull(t, "curacao")
	r := lab.MustHost(t, "curacao").Test(t, "github.com/xenhost/xenhost/shaping/diskrate", &xenlab.TestOptions{Run: "TestBlkback|TestLinux|TestThrottles"})
	t.Logf("RESULT shaping/diskrate in dom0: %d passed, %d failed, skipped %v", r.Passed, r.Failed, r.Skipped)
}

// TestBlkback: a real guest, which writes a record after the other to its disk,
// is held to one request a second, also after it has rebooted, and let go.
func TestBlkback(t *testing.T) {
	tier.Require(t, tier.Dom0)
	needDevices(t)
	const disk = "/dev/guests/slow"
	command(t, "lvcreate", "-y", "-q", "-Wy", "-Zy", "-L", "16m", "-n", "slow", "guests")
	t.Cleanup(func() { command(t, "lvremove", "-y", "-q", "guests/slow") })
	config := filepath.Join(t.TempDir(), "slow.cfg")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `name = "slow"
type = "pvh"
memory = 128
tsc_mode = "native"
kernel = %q
ramdisk = %q
cmdline = %q
disk = [ "phy:%s,xvda,w" ]
vif = [ "mac=00:16:3e:00:09:01,bridge=xenint" ]
`, xenlab.GuestKernel, xenlab.GuestRamdisk, xenlab.Guest{Name: "slow", IP: "192.168.0.91/24", Rate: 20}.Args(), disk), 0o600))
	command(t, "xl", "create", config)
	t.Cleanup(func() { command(t, "xl", "destroy", "slow") })

	m := diskrate.New(nil)
	free, _ := writes(t, 5*time.Second)
	t.Logf("unlimited: %.1f records a second", free)
	require.Greater(t, free, 4.0, "the limit would not be seen")

	limit := diskrate.Limit{WriteOps: 2}
	require.NoError(t, m.Set(t.Context(), disk, limit))
	t.Cleanup(func() { assert.NoError(t, m.Set(context.Background(), disk, diskrate.Limit{})) })
	s, err := m.Read(t.Context())
	require.NoError(t, err)
	assert.Empty(t, s.Loose)
	slow, boots := writes(t, 15*time.Second)
	t.Logf("RESULT a guest's writes: %.1f a second unlimited, %.2f at two requests a second", free, slow)
	assert.LessOrEqual(t, slow, 2.0+2.0/15)

	ctx, cancel := context.WithCancel(t.Context())
	kept := make(chan error, 1)
	go func() { kept <- m.Keep(ctx, nil) }()
	command(t, "xl", "reboot", "slow")
	require.Eventually(t, func() bool { s, err := ask(); return err == nil && s.Boots > boots }, 5*time.Minute, time.Second, "it reboots")
	require.Eventually(t, func() bool { s, err := m.Read(t.Context()); return err == nil && len(s.Loose) == 0 }, time.Minute, 100*time.Millisecond, "its new thread is taken in")
	slow, _ = writes(t, 15*time.Second)
	t.Logf("RESULT after its reboot %.2f", slow)
	assert.LessOrEqual(t, slow, 2.0+2.0/15)
	cancel()
	require.ErrorIs(t, <-kept, context.Canceled)

	require.NoError(t, m.Set(t.Context(), disk, diskrate.Limit{}))
	free, _ = writes(t, 5*time.Second)
	t.Logf("let go: %.1f", free)
	assert.Greater(t, free, 4.0)
}

// told is what the lab guest tells of itself.
type told struct {
	Boots, Sequence uint64
	Uptime          float64
}

func ask() (s told, err error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://192.168.0.91/state")
	if err != nil {
		return s, err
	}
	defer r.Body.Close()
	return s, json.NewDecoder(r.Body).Decode(&s)
}

// writes counts the records that became durable in a second, over a time by
// the guest's clock.
func writes(t *testing.T, d time.Duration) (rate float64, boots uint64) {
	t.Helper()
	var first, last told
	require.Eventually(t, func() bool { s, err := ask(); first = s; return err == nil && s.Sequence > 0 }, 5*time.Minute, time.Second, "the guest answers")
	require.Eventually(t, func() bool {
		s, err := ask()
		last = s
		return err == nil && s.Uptime-first.Uptime >= d.Seconds()
	}, 5*time.Minute, time.Second)
	require.Equal(t, first.Boots, last.Boots)
	return float64(last.Sequence-first.Sequence) / (last.Uptime - first.Uptime), last.Boots
}
