package main

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/guard"
	"github.com/xenhost/xenhost/network/guard/guardtest"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen/dom0"
)

// dom0's commands: xenstore has the vif's name, the others only run.
type commands struct {
	vifname string
	ran     []string
}

func (c *commands) Run(_ context.Context, cmd dom0.Cmd) error {
	line := strings.Join(cmd.Args, " ")
	if line != "xenstore-read backend/vif/7/0/vifname" {
		c.ran = append(c.ran, line)
		return nil
	}
	if c.vifname == "" {
		return &dom0.Error{Args: cmd.Args, ExitCode: 1}
	}
	_, err := io.WriteString(cmd.Stdout, c.vifname+"\n")
	return err
}

func TestHook(t *testing.T) {
	const bridged = bridgeScript + " online type_if=vif"
	id := uuid.MustParse("7f3a0b1c-0000-4000-8000-000000000001")
	g := guardtest.New(guard.Dom0{})
	call := func(vifname string, args ...string) ([]string, error) {
		c := &commands{vifname: vifname}
		err := hook{run: c, guard: g, path: "backend/vif/7/0"}.call(t.Context(), args)
		return c.ran, err
	}
	online := []string{"online", "type_if=vif"}

	ran, err := call("x7f3a0b1c.0", online...)
	require.ErrorContains(t, err, "no guard is in force")
	assert.Equal(t, []string{"xenstore-write backend/vif/7/0/hotplug-error " + err.Error() + " backend/vif/7/0/hotplug-status error"}, ran)

	require.NoError(t, g.Set(t.Context(), guard.Guest{UUID: id, Ports: []guard.Port{{Vif: network.VifName(id, 0), MAC: network.MAC{0, 0x16, 0x3e, 0, 0, 1}}}}))
	ran, err = call("x7f3a0b1c.0", online...)
	require.NoError(t, err)
	assert.Equal(t, []string{bridged}, ran)
	ran, err = call("x7f3a0b1c.1", online...)
	require.ErrorContains(t, err, "of no guest under the guard")
	assert.NotContains(t, ran, bridged)
	_, err = call("x7f3a0b1c.1", "add", "type_if=tap")
	require.Error(t, err, "nor the device model's port")
	ran, err = call("x7f3a0b1c.0", "add", "type_if=tap")
	require.NoError(t, err)
	assert.Equal(t, []string{bridgeScript + " add type_if=tap"}, ran)

	for _, foreign := range []string{"", "vif7.0", "web1"} {
		ran, err = call(foreign, online...)
		require.NoError(t, err, foreign)
		assert.Equal(t, []string{bridged}, ran)
	}
	require.NoError(t, g.Remove(t.Context(), id))
	ran, err = call("x7f3a0b1c.0", "offline", "type_if=vif")
	require.NoError(t, err, "what goes is not asked")
	assert.Equal(t, []string{bridgeScript + " offline type_if=vif"}, ran)
	require.ErrorContains(t, hook{run: &commands{}, guard: g}.call(t.Context(), online), "XENBUS_PATH")
}

func TestRoutedHook(t *testing.T) {
	id := uuid.MustParse("7f3a0b1c-0000-4000-8000-000000000001")
	web := network.Guest{UUID: id, Ports: []network.Port{{
		Vif: network.VifName(id, 0), MAC: network.MAC{0, 0x16, 0x3e, 0, 0, 1}, Routed: true, Uplink: "xenext",
		Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.10")},
	}}}
	g, n := guardtest.New(guard.Dom0{}), networktest.New(nil)
	call := func(args ...string) ([]string, error) {
		c := &commands{vifname: "x7f3a0b1c.0"}
		err := hook{run: c, guard: g, network: n, path: "backend/vif/7/0", device: "vif7.0"}.route(t.Context(), args)
		return c.ran, err
	}
	named := []string{"ip link set vif7.0 name x7f3a0b1c.0", "ip link set x7f3a0b1c.0 address fe:ff:ff:ff:ff:ff"}
	done := append(slices.Clone(named), "xenstore-write backend/vif/7/0/hotplug-status connected")

	ran, err := call("online", "type_if=vif")
	require.NoError(t, err, "a guest that comes by a move is not this host's yet")
	assert.Equal(t, done, ran)
	require.NoError(t, n.Set(t.Context(), web))
	ran, err = call("online", "type_if=vif")
	require.ErrorContains(t, err, "no guard is in force")
	assert.Equal(t, named, ran[:2])
	require.NoError(t, g.Set(t.Context(), guard.Of(web)))
	ran, err = call("online", "type_if=vif")
	require.NoError(t, err)
	assert.Equal(t, done, ran)
	n.Fail("set", errors.New("no such luck"))
	ran, err = call("online", "type_if=vif")
	require.ErrorContains(t, err, "no such luck")
	assert.Contains(t, ran[2], "hotplug-status error")
	for _, args := range [][]string{{"offline", "type_if=vif"}, {"add", "type_if=tap"}, {"remove", "type_if=tap"}} {
		ran, err = call(args...)
		require.NoError(t, err)
		assert.Empty(t, ran)
	}
	require.ErrorContains(t, hook{run: &commands{}, guard: g, network: n, path: "backend/vif/7/0", device: "vif7.0"}.route(t.Context(), []string{"online"}), "vifname")
}
