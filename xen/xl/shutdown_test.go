package xl

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
)

func TestShutdown(t *testing.T) {
	id := uuid.New()
	for _, tc := range []struct {
		name    string
		grace   time.Duration
		letters string // at first
		asked   func(*host)
		listed  func(*host, int) // at the nth list
		how     xen.Ending
		said    string
	}{
		{"goes by itself", 0, "-b----", func(h *host) { h.remove(7) }, nil, xen.Clean, "xl shutdown 7"},
		{"monitor takes its time", 0, "-b----", func(h *host) { h.remove(7); h.monitor = 3 }, nil, xen.Clean, "xl shutdown 7"},
		{"nobody puts it away", 0, "-b----", func(h *host) { h.domains[0].letters, h.domains[0].reason = "---s--", "0" }, nil, xen.Clean, "xl shutdown 7; xl destroy 7"},
		{"crashes", 0, "-b----", func(h *host) { h.domains[0].letters, h.domains[0].reason = "---sc-", "3" }, nil, xen.Destroyed, "xl shutdown 7; xl destroy 7"},
		{"had powered off", 0, "---s--", nil, nil, xen.Clean, "xl destroy 7"},
		{"is paused", 0, "--p---", nil, nil, xen.Destroyed, "xl destroy 7"},
		{"no grace", -1, "-b----", nil, nil, xen.Destroyed, "xl destroy 7"},
		{"ignores it", 20 * time.Millisecond, "-b----", func(*host) {}, nil, xen.Destroyed, "xl shutdown 7; xl destroy 7"},
		{"reboots", 0, "-b----", func(h *host) {
			h.remove(7)
			h.remove(8)
			if len(h.said) == 1 {
				h.monitor = 4 // no domain on the list for a while
			}
		}, func(h *host, n int) {
			if len(h.said) == 1 && n == 4 {
				h.domains = append(h.domains, line{"web1", 8, "-b----", "-", id})
			}
		}, xen.Clean, "xl shutdown 7; xl shutdown 8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reason := "-"
			if strings.Contains(tc.letters, "s") {
				reason = "0"
			}
			h := &host{t: t, domains: []line{{"web1", 7, tc.letters, reason, id}}}
			h.do = func(_ context.Context, _ dom0.Cmd, argv string) error {
				if strings.HasPrefix(argv, "xl destroy") {
					h.remove(7)
				} else {
					tc.asked(h)
				}
				return nil
			}
			lists := 0
			h.onList = func() {
				if lists++; tc.listed != nil {
					tc.listed(h, lists)
				}
			}
			how, err := h.driver("").Shutdown(t.Context(), id, &xen.ShutdownOptions{Grace: tc.grace})
			require.NoError(t, err)
			assert.Equal(t, tc.how, how)
			assert.Equal(t, tc.said, strings.Join(h.said, "; "))
			assert.Empty(t, h.domains)
		})
	}
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	id := uuid.New()
	h := &host{t: t, domains: []line{{"web1", 7, "-b----", "-", id}}}
	ctx, cancel := context.WithCancel(t.Context())
	h.do = func(context.Context, dom0.Cmd, string) error { cancel(); return nil }
	_, err := h.driver("").Shutdown(ctx, id, nil)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, []string{"xl shutdown 7"}, h.said, "it is not destroyed")
}

func TestDestroyWaitsForTheZombie(t *testing.T) {
	id := uuid.New()
	h := &host{t: t, domains: []line{{"web1", 7, "-b----", "-", id}}}
	lists := 0
	h.do = func(context.Context, dom0.Cmd, string) error {
		h.domains[0] = line{"(null)", 7, "--ps-d", "0", id}
		return nil
	}
	h.onList = func() {
		if lists++; lists == 5 {
			h.domains = nil
		}
	}
	require.NoError(t, h.driver("").Destroy(t.Context(), id))
	assert.Equal(t, []string{"xl destroy 7"}, h.said)
}

func TestDestroyOfAZombieThatStaysIsDirty(t *testing.T) {
	id := uuid.New()
	h := &host{t: t, domains: []line{{"(null)", 7, "--ps-d", "0", id}}}
	h.do = func(context.Context, dom0.Cmd, string) error { return nil }
	d := New(h, &Options{Poll: time.Millisecond, Limits: Limits{Destroy: 20 * time.Millisecond}})
	require.ErrorIs(t, d.Destroy(t.Context(), id), xen.ErrDirty)
}

func TestDestroyInTheGapOfAReboot(t *testing.T) {
	id := uuid.New()
	h := &host{t: t, monitor: 3} // not on the list, but its monitor is at work
	lists := 0
	h.onList = func() {
		if lists++; lists == 3 {
			h.domains = append(h.domains, line{"web1", 9, "-b----", "-", id})
		}
	}
	h.do = func(_ context.Context, _ dom0.Cmd, argv string) error { h.remove(9); return nil }
	require.NoError(t, h.driver("").Destroy(t.Context(), id))
	assert.Equal(t, []string{"xl destroy 9"}, h.said)
}
