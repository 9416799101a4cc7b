package events

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/xenhost/xenhost/xen"
)

func id(n byte) uuid.UUID { return uuid.UUID{15: n} }

func at(domid int, state xen.State, reason xen.Reason) xen.Domain {
	return xen.Domain{UUID: id(1), ID: domid, Name: "web1", State: state, Reason: reason}
}

func texts(events []Event) (all []string) {
	for _, e := range events {
		all = append(all, e.String())
	}
	return all
}

// Each row is a list; the texts are what Watch says to it.
func TestTracker(t *testing.T) {
	type row struct {
		list []xen.Domain
		says []string
	}
	run := at(3, xen.Running, "")
	for name, rows := range map[string][]row{
		"reboot by the toolstack, every step seen": {
			{[]xen.Domain{run}, []string{"web1: found, domid 3"}},
			{[]xen.Domain{at(3, xen.Stopped, xen.Reboot)}, []string{"web1: shut down, domid 3 (reboot)"}},
			{[]xen.Domain{at(3, xen.Dying, xen.Reboot)}, nil},
			{nil, []string{"web1: gone, domid 3 (reboot)"}},
			{[]xen.Domain{at(4, xen.Building, "")}, []string{"web1: rebooted, domid 3 to 4 (reboot)"}},
			{[]xen.Domain{at(4, xen.Running, "")}, nil},
		},
		"reboot, seen before and after": {
			{[]xen.Domain{run}, []string{"web1: found, domid 3"}},
			{[]xen.Domain{at(3, xen.Stopped, xen.Reboot)}, []string{"web1: shut down, domid 3 (reboot)"}},
			{[]xen.Domain{at(4, xen.Running, "")}, []string{"web1: gone, domid 3 (reboot)", "web1: rebooted, domid 3 to 4 (reboot)"}},
		},
		"reboot that nobody saw": {
			{[]xen.Domain{run}, []string{"web1: found, domid 3"}},
			{[]xen.Domain{at(4, xen.Running, "")}, []string{"web1: gone, domid 3", "web1: created, domid 3 to 4"}},
		},
		"zombie and its successor": {
			{nil, nil},
			{[]xen.Domain{run}, []string{"web1: created, domid 3"}},
			{[]xen.Domain{at(3, xen.Dying, xen.Reboot), at(4, xen.Running, "")}, []string{"web1: rebooted, domid 3 to 4 (reboot)"}},
			{[]xen.Domain{at(4, xen.Running, "")}, []string{"web1: gone, domid 3 (reboot)"}},
		},
		"saved and restored": {
			{[]xen.Domain{run}, []string{"web1: found, domid 3"}},
			{[]xen.Domain{at(3, xen.Suspended, xen.Suspend)}, nil},
			{nil, []string{"web1: gone, domid 3 (suspend)"}},
			{[]xen.Domain{at(4, xen.Running, "")}, []string{"web1: created, domid 3 to 4"}},
		},
		"saved and resumed": {
			{[]xen.Domain{run}, []string{"web1: found, domid 3"}},
			{[]xen.Domain{at(3, xen.Suspended, xen.Suspend)}, nil},
			{[]xen.Domain{run}, nil},
		},
		"poweroff, then started again": {
			{[]xen.Domain{run}, []string{"web1: found, domid 3"}},
			{[]xen.Domain{at(3, xen.Stopped, xen.Poweroff)}, []string{"web1: shut down, domid 3 (poweroff)"}},
			{nil, []string{"web1: gone, domid 3 (poweroff)"}},
			{[]xen.Domain{at(4, xen.Running, "")}, []string{"web1: created, domid 3 to 4"}},
		},
		"crashed and preserved": {
			{[]xen.Domain{at(3, xen.Crashed, xen.Watchdog)}, []string{"web1: found, domid 3", "web1: crashed, domid 3 (watchdog)"}},
			{[]xen.Domain{at(3, xen.Crashed, xen.Watchdog)}, nil},
			{nil, []string{"web1: gone, domid 3 (watchdog)"}},
		},
		"the domid of another guest": {
			{[]xen.Domain{run}, []string{"web1: found, domid 3"}},
			{[]xen.Domain{{UUID: id(2), ID: 3, Name: "a\x1b"}}, []string{"web1: gone, domid 3", `"a\x1b": created, domid 3`}},
		},
		"no name": {
			{[]xen.Domain{{UUID: id(2), ID: 5}}, []string{"00000000-0000-0000-0000-000000000002: found, domid 5"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var seen tracker
			for i, r := range rows {
				assert.Equal(t, r.says, texts(seen.update(r.list, time.Now())), "row %d", i)
			}
		})
	}
}

func TestTrackerForgets(t *testing.T) {
	var seen tracker
	now := time.Now()
	seen.update([]xen.Domain{at(3, xen.Stopped, xen.Reboot)}, now)
	seen.update(nil, now)
	require.Len(t, seen.left, 1)
	events := seen.update([]xen.Domain{at(4, xen.Running, "")}, now.Add(memory+time.Second))
	assert.Equal(t, []string{"web1: created, domid 4"}, texts(events))
	assert.Empty(t, seen.left)
}

// Whatever the lists are, each domain's events make a life.
func TestLives(t *testing.T) {
	states := []xen.Domain{
		{State: xen.Building}, {State: xen.Running}, {State: xen.Paused}, {State: xen.Dying}, {State: xen.Suspended, Reason: xen.Suspend},
		{State: xen.Stopped, Reason: xen.Poweroff}, {State: xen.Stopped, Reason: xen.Reboot}, {State: xen.Crashed, Reason: xen.Crash},
	}
	rapid.Check(t, func(t *rapid.T) {
		var seen tracker
		lives := make(map[string]bool)
		for i := range rapid.IntRange(1, 20).Draw(t, "lists") {
			var list []xen.Domain
			for domid := range rapid.IntRange(0, 5).Draw(t, "domains") {
				d := rapid.SampledFrom(states).Draw(t, "state")
				d.ID, d.UUID = domid+1, id(rapid.ByteRange(1, 3).Draw(t, "guest"))
				list = append(list, d)
			}
			for _, e := range seen.update(list, time.Now()) {
				name := fmt.Sprint(e.Domain.UUID, e.Domain.ID)
				switch e.Kind {
				case Found, Created, Rebooted:
					require.False(t, lives[name], "begins once")
					require.Equal(t, i == 0, e.Kind == Found)
					require.Equal(t, e.Kind == Rebooted, e.Reason != "")
					lives[name] = true
				case Down, Crashed:
					require.True(t, lives[name])
					require.NotEmpty(t, e.Reason)
				case Gone:
					require.True(t, lives[name])
					delete(lives, name)
				}
			}
			require.Len(t, lives, len(list), "who is on the list lives")
		}
	})
}
