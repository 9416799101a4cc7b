package confirm_test

import (
	"bufio"
	"encoding/json"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/confirm"
	"github.com/xenhost/xenhost/network/guard"
)

// cut is a change that takes dom0's address away.
func cut() confirm.State {
	want := base()
	want.Network.Bridges[0].Addresses = []netip.Prefix{netip.MustParsePrefix("203.0.113.77/24")}
	want.Guard = &guard.State{}
	return want
}

// caller starts a process that applies cut, and returns when it has, or when it
// is in the middle of it.
func (o *office) caller(t *testing.T, applied bool) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(cut())
	require.NoError(t, err)
	c := exec.Command(os.Args[0], "apply", o.dom0.Name, o.dir, time.Hour.String(), string(text))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	if applied {
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "applied\n", line)
		require.False(t, o.alive(100*time.Millisecond), "the change cuts the operator off")
		return c
	}
	require.Eventually(t, func() bool { return len(o.processes(t, "keep")) == 2 }, 2*time.Minute, time.Millisecond)
	return c
}

func kill(t *testing.T, signal unix.Signal, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		require.NoError(t, unix.Kill(pid, signal))
	}
}

// comesBack waits for the end of the change.
func (o *office) comesBack(t *testing.T) {
	t.Helper()
	c := confirm.New(o.target, &confirm.Options{Dir: o.dir})
	require.Eventually(t, func() bool { _, err := c.Pending(); return err != nil }, 2*time.Minute, 5*time.Millisecond)
	_, err := c.Pending()
	require.ErrorIs(t, err, fs.ErrNotExist)
	o.isBase(t)
	require.Eventually(t, func() bool { return len(o.processes(t, "keep")) == 0 }, 2*time.Minute, 5*time.Millisecond, "no keeper is left")
}

func TestKilled(t *testing.T) {
	o := newOffice(t)
	t.Run("the caller, after the change", func(t *testing.T) {
		kill(t, unix.SIGKILL, o.caller(t, true).Process.Pid)
		o.hurry(t)
		o.comesBack(t)
	})
	t.Run("the caller, in the middle of it", func(t *testing.T) {
		c := o.caller(t, false)
		time.Sleep(30 * time.Millisecond)
		kill(t, unix.SIGKILL, c.Process.Pid)
		o.hurry(t)
		o.comesBack(t)
	})
	t.Run("the caller and a keeper", func(t *testing.T) {
		c := o.caller(t, true)
		keepers := o.processes(t, "keep")
		require.Len(t, keepers, 2)
		kill(t, unix.SIGKILL, c.Process.Pid, keepers[0])
		o.hurry(t)
		o.comesBack(t)
	})
	t.Run("the other keeper", func(t *testing.T) {
		o.caller(t, true)
		kill(t, unix.SIGKILL, o.processes(t, "keep")[1])
		o.hurry(t)
		o.comesBack(t)
	})
	t.Run("a keeper that is asked to end takes it back at once", func(t *testing.T) {
		o.caller(t, true)
		kill(t, unix.SIGTERM, o.processes(t, "keep")[0])
		o.comesBack(t)
	})
	t.Run("all of them; the next agent takes it back", func(t *testing.T) {
		c := o.caller(t, true)
		kill(t, unix.SIGKILL, append(o.processes(t, "keep"), c.Process.Pid)...)
		agent := confirm.New(o.target, &confirm.Options{Dir: o.dir})
		require.NoError(t, agent.Settle(t.Context()))
		_, err := agent.Pending()
		require.NoError(t, err, "its time is not over")
		o.hurry(t)
		require.NoError(t, agent.Settle(t.Context()))
		o.comesBack(t)
	})
}

// The power fails while a change waits; at boot there is nothing of ours in the
// kernel, and a pending file of another boot.
func TestPowerFails(t *testing.T) {
	o := newOffice(t)
	c := o.caller(t, true)
	kill(t, unix.SIGKILL, append(o.processes(t, "keep"), c.Process.Pid)...)
	o.dom0.Run(t, "", "nft", "flush", "ruleset")
	o.dom0.IP(t, "link delete xenext")
	o.edit(t, "boot", "another")
	require.NoError(t, confirm.New(o.target, &confirm.Options{Dir: o.dir}).Boot(t.Context()))
	o.comesBack(t)
}

// What would cut the way to the operator is refused before anything is armed.
func TestUnroutable(t *testing.T) {
	o := newOffice(t)
	opts := options(o.dom0.Name, o.dir, time.Minute)
	opts.Management = []netip.Addr{netip.MustParseAddr("198.51.100.7")}
	c := confirm.New(o.target, opts)
	_, err := c.Apply(t.Context(), cut())
	require.ErrorIs(t, err, confirm.ErrUnroutable)
	assert.ErrorContains(t, err, "198.51.100.7 is reached from 203.0.113.1 on xenext")
	o.isBase(t)
	_, err = c.Pending()
	require.ErrorIs(t, err, fs.ErrNotExist)

	harmless := base()
	harmless.Network.Masquerades = []network.Masquerade{{Source: netip.MustParsePrefix("10.0.0.0/8"), Out: "xenext"}}
	p, err := c.Apply(t.Context(), harmless)
	require.NoError(t, err)
	require.NoError(t, c.Confirm(t.Context(), p.ID))
	have, err := o.target.Network.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, harmless.Network.Normalize(), have)

	opts.Management = []netip.Addr{netip.MustParseAddr("2001:db8::7")}
	_, err = confirm.New(o.target, opts).Apply(t.Context(), base())
	require.ErrorIs(t, err, confirm.ErrUnroutable, "it can not be reached even now")
}
