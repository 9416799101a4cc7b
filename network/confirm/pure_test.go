package confirm

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/network/guard/guardtest"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen/dom0"
)

// starter starts keepers as goroutines instead of processes.
type starter struct {
	start func()
	err   error
}

func (s starter) Run(_ context.Context, cmd dom0.Cmd) error {
	if s.err == nil && len(cmd.Args) == 3 && cmd.Args[0] == "setsid" {
		s.start()
	}
	return s.err
}

type desk struct {
	*Changer
	network *networktest.Fake
	guard   *guardtest.Fake
}

// newDesk is a host on fakes; keepers live as long as alive.
func newDesk(t *testing.T, alive context.Context, window time.Duration) *desk {
	d := &desk{network: networktest.New(nil), guard: guardtest.New(guard.Dom0{})}
	target := Target{Network: d.network, Guard: d.guard}
	opts := Options{Keeper: []string{"panel"}, Dir: t.TempDir(), Window: window}
	opts.Runner = starter{start: func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = New(target, &opts).keep(alive)
		}()
		t.Cleanup(func() { <-done })
	}}
	d.Changer = New(target, &opts)
	return d
}

// want is a masquerade of this net, and the guard.
func want(net string) State {
	return State{
		Network: &network.State{Masquerades: []network.Masquerade{{Source: netip.MustParsePrefix(net), Out: "xenext"}}},
		Guard:   &guard.State{},
	}
}

// is checks what is in force; net "" is nothing of ours.
func (d *desk) is(t *testing.T, net string) {
	t.Helper()
	have, err := d.network.Read(t.Context())
	require.NoError(t, err)
	g, err := d.guard.Read(t.Context())
	require.NoError(t, err)
	if net == "" {
		assert.Empty(t, have.Masquerades)
		assert.True(t, g.Open)
		return
	}
	assert.Equal(t, want(net).Network.Masquerades, have.Masquerades)
	assert.False(t, g.Open)
}

func TestConfirmed(t *testing.T) {
	d := newDesk(t, t.Context(), time.Minute)
	_, err := d.Pending()
	require.ErrorIs(t, err, os.ErrNotExist)
	p, err := d.Apply(t.Context(), want("10.0.0.0/8"))
	require.NoError(t, err)
	assert.Greater(t, p.Left, 30*time.Second)
	d.is(t, "10.0.0.0/8")

	_, err = d.Apply(t.Context(), want("10.1.0.0/16"))
	require.ErrorIs(t, err, ErrPending)
	require.ErrorIs(t, d.Confirm(t.Context(), uuid.New()), ErrPending)
	require.NoError(t, d.Settle(t.Context()), "its time is not over")
	d.is(t, "10.0.0.0/8")

	require.NoError(t, d.Confirm(t.Context(), p.ID))
	require.NoError(t, d.Confirm(t.Context(), p.ID), "again")
	require.NoError(t, d.Revert(t.Context()), "nothing waits")
	d.is(t, "10.0.0.0/8")
	p, err = d.Apply(t.Context(), want("10.1.0.0/16"))
	require.NoError(t, err)
	require.NoError(t, d.Revert(t.Context()))
	d.is(t, "10.0.0.0/8")
	require.ErrorIs(t, d.Confirm(t.Context(), p.ID), ErrLate)
}

func TestNotConfirmed(t *testing.T) {
	d := newDesk(t, t.Context(), time.Minute)
	p, err := d.Apply(t.Context(), want("10.0.0.0/8"))
	require.NoError(t, err)
	d.is(t, "10.0.0.0/8")
	d.rewrite(t, timeIsOver)
	require.Eventually(t, func() bool { _, err := d.Pending(); return errors.Is(err, os.ErrNotExist) }, 2*time.Minute, 5*time.Millisecond)
	d.is(t, "")
	require.ErrorIs(t, d.Confirm(t.Context(), p.ID), ErrLate)
}

// A keeper does not give up when the first try fails.
func TestKeeperTriesAgain(t *testing.T) {
	d := newDesk(t, t.Context(), time.Minute)
	_, err := d.Apply(t.Context(), want("10.0.0.0/8"))
	require.NoError(t, err)
	d.network.Fail("apply", errors.New("iptables is not there"))
	d.rewrite(t, timeIsOver)
	require.Eventually(t, func() bool { _, err := d.Pending(); return errors.Is(err, os.ErrNotExist) }, 2*time.Minute, 5*time.Millisecond)
	d.is(t, "")
}

func TestChangeThatFails(t *testing.T) {
	d := newDesk(t, t.Context(), time.Minute)
	broken := errors.New("iptables is not there")
	d.network.Fail("apply", broken)
	_, err := d.Apply(t.Context(), want("10.0.0.0/8"))
	require.ErrorIs(t, err, broken)
	d.is(t, "")
	_, err = d.Pending()
	require.ErrorIs(t, err, os.ErrNotExist)

	d.runner = starter{err: broken}
	_, err = d.Apply(t.Context(), want("10.0.0.0/8"))
	require.ErrorIs(t, err, broken, "nothing is changed without a keeper")
	d.is(t, "")
	d.keeper = nil
	_, err = d.Apply(t.Context(), want("10.0.0.0/8"))
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// Keepers that are asked to end take the change back at once.
func TestKeepersThatEnd(t *testing.T) {
	alive, end := context.WithCancel(t.Context())
	d := newDesk(t, alive, time.Minute)
	_, err := d.Apply(t.Context(), want("10.0.0.0/8"))
	require.NoError(t, err)
	end()
	require.Eventually(t, func() bool { _, err := d.Pending(); return errors.Is(err, os.ErrNotExist) }, 2*time.Minute, 5*time.Millisecond)
	d.is(t, "")
}

// rewrite changes the pending file, as time or a reboot would.
func (d *desk) rewrite(t *testing.T, change func(*pendingFile)) {
	t.Helper()
	p, err := d.readPending()
	require.NoError(t, err)
	change(&p)
	require.NoError(t, d.write(pendingName, p))
}

func timeIsOver(p *pendingFile) { p.Deadline, p.Boot, _ = clock() }

// orphan is a change whose keepers are both gone.
func orphan(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t, t.Context(), time.Minute)
	first, err := d.Apply(t.Context(), want("10.0.0.0/8"))
	require.NoError(t, err)
	require.NoError(t, d.Confirm(t.Context(), first.ID))
	before, err := d.target.read(t.Context())
	require.NoError(t, err)
	require.NoError(t, d.write(pendingName, pendingFile{ID: uuid.New(), Boot: "another", Before: before, Want: want("10.1.0.0/16")}))
	require.NoError(t, d.target.apply(t.Context(), want("10.1.0.0/16")))
	return d
}

func TestBothKeepersGone(t *testing.T) {
	d := orphan(t)
	d.rewrite(t, timeIsOver)
	require.NoError(t, d.Settle(t.Context()))
	d.is(t, "10.0.0.0/8")

	d = orphan(t)
	p, err := d.Apply(t.Context(), want("10.2.0.0/16"))
	require.NoError(t, err, "what was overdue is taken back on the way")
	require.NoError(t, d.Revert(t.Context()))
	d.is(t, "10.0.0.0/8")
	require.ErrorIs(t, d.Confirm(t.Context(), p.ID), ErrLate)
}

func TestBoot(t *testing.T) {
	d := orphan(t)
	d.guard.Flush()
	require.NoError(t, d.network.Remove(t.Context(), uuid.New()))
	_, err := d.network.Apply(t.Context(), network.State{})
	require.NoError(t, err)
	require.NoError(t, d.Boot(t.Context()))
	d.is(t, "10.0.0.0/8")
	_, err = d.Pending()
	require.ErrorIs(t, err, os.ErrNotExist)

	fresh := newDesk(t, t.Context(), time.Minute)
	require.NoError(t, fresh.Boot(t.Context()))
	fresh.is(t, "")
	_, err = fresh.Apply(t.Context(), want("10.0.0.0/8"))
	require.NoError(t, err)
	require.NoError(t, fresh.Boot(t.Context()), "the power failed before anything was confirmed")
	fresh.is(t, "")
}

// The process died after it wrote what is confirmed and before it removed what
// is pending: it is confirmed.
func TestKilledWhileConfirming(t *testing.T) {
	d := newDesk(t, t.Context(), time.Minute)
	_, err := d.Apply(t.Context(), want("10.0.0.0/8"))
	require.NoError(t, err)
	p, err := d.readPending()
	require.NoError(t, err)
	require.NoError(t, d.write(confirmedName, confirmedFile{ID: p.ID, State: p.after()}))
	require.NoError(t, d.Revert(t.Context()))
	d.is(t, "10.0.0.0/8")
}

func TestDamagedFiles(t *testing.T) {
	d := newDesk(t, t.Context(), time.Minute)
	for _, name := range []string{pendingName, confirmedName} {
		require.NoError(t, os.WriteFile(filepath.Join(d.dir, name), []byte("{"), 0o600))
		_, err := d.Apply(t.Context(), want("10.0.0.0/8"))
		require.ErrorContains(t, err, name)
		d.is(t, "")
		require.NoError(t, os.Remove(filepath.Join(d.dir, name)))
	}
}

func TestKeepsWay(t *testing.T) {
	bridge := func(ports []string, addresses ...string) network.State {
		b := network.Bridge{Name: "xenext", Ports: ports}
		for _, a := range addresses {
			b.Addresses = append(b.Addresses, netip.MustParsePrefix(a))
		}
		return network.State{Bridges: []network.Bridge{b}}
	}
	peer := netip.MustParseAddr("198.51.100.7")
	there := way{peer, "xenext", netip.MustParseAddr("203.0.113.1")}
	before := bridge([]string{"eth0"}, "203.0.113.1/24", "203.0.113.9/32")
	for what, c := range map[string]struct {
		way  way
		want network.State
		ok   bool
	}{
		"nothing changes":         {there, before, true},
		"another address goes":    {there, bridge([]string{"eth0"}, "203.0.113.1/24"), true},
		"its prefix changes":      {there, bridge([]string{"eth0"}, "203.0.113.1/25"), true},
		"a port comes":            {there, bridge([]string{"eth0", "eth1"}, "203.0.113.1/24"), true},
		"the address goes":        {there, bridge([]string{"eth0"}, "203.0.113.9/32"), false},
		"the port goes":           {there, bridge(nil, "203.0.113.1/24"), false},
		"the bridge goes":         {there, network.State{}, false},
		"the way is another link": {way{peer, "eth7", there.from}, network.State{}, true},
	} {
		err := keepsWay(c.way, before, c.want)
		if c.ok {
			assert.NoError(t, err, what)
		} else {
			assert.ErrorIs(t, err, ErrUnroutable, what)
		}
	}
}
