package main

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/cli"
	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/lvm/lvmtest"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/networktest"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/xentest"
)

// world is a host with the guests web1 and web2.
func world(t *testing.T) (run func(args ...string) (string, error), net *networktest.Fake) {
	net = networktest.New(nil)
	h := host.New(host.Config{
		Name: "curacao", Domains: xentest.New(nil), Network: net, StateDir: t.TempDir(),
		Volumes: lvmtest.New(t.TempDir(), lvmtest.GroupSpec{Name: "guests"}),
	})
	for n, name := range []string{"web1", "web2"} {
		_, err := h.Provision(t.Context(), host.Guest{
			UUID: uuid.UUID{byte(n + 1), 7: 0x40, 8: 0x80}, Name: name, Memory: 64 << 20, Kernel: "/boot/vmlinuz",
			Disks: []host.Disk{{Dev: "xvda", Volume: lvm.ID{Group: "guests", Name: name}, Size: 4 << 20}},
			Nics: []host.Nic{{Bridge: "xenint", MAC: xen.MAC{0, 0x16, 0x3e, 0, 0, byte(n)},
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 168, 0, byte(10 + n)})}}},
		}, nil)
		require.NoError(t, err)
	}
	return func(args ...string) (string, error) {
		var flags cli.Flags
		c := command(&flags, func() (*host.Host, error) { return h, nil })
		flags.Add(c)
		var out strings.Builder
		c.SetArgs(args)
		c.SetOut(&out)
		c.SilenceErrors, c.SilenceUsage = true, true
		err := c.ExecuteContext(t.Context())
		return out.String(), err
	}, net
}

func TestForward(t *testing.T) {
	run, net := world(t)
	const web = "tcp *:8080 -> 192.168.0.10:80"
	out, err := run("add", "web1", "--dry-run", web)
	require.NoError(t, err)
	assert.Equal(t, "+ forward "+web+" of 01000000-0000-0040-8000-000000000000\n", out)
	_, _, there := net.Lookup(network.TCP, 8080)
	assert.False(t, there, "a dry run")

	_, err = run("add", "web1", web, "udp *:1000-1099 -> 192.168.0.10:1000")
	require.NoError(t, err)
	_, err = run("add", "web2", "tcp *:8080 -> 192.168.0.11:80")
	require.ErrorIs(t, err, network.ErrConflict)
	_, err = run("add", "web2", "--dry-run", "udp *:1050 -> 192.168.0.11:80")
	require.ErrorIs(t, err, network.ErrConflict)
	_, err = run("add", "web2", "8080")
	var usage cli.UsageError
	require.ErrorAs(t, err, &usage)
	_, err = run("remove", "web2", web)
	require.ErrorContains(t, err, "forward list")

	out, err = run("list")
	require.NoError(t, err)
	assert.Equal(t, "GUEST  FORWARD                               IN FORCE\n"+
		"web1   tcp *:8080 -> 192.168.0.10:80         true\n"+
		"web1   udp *:1000-1099 -> 192.168.0.10:1000  true\n", out)
	out, err = run("list", "--json")
	require.NoError(t, err)
	var all []row
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 2)
	assert.Equal(t, web, all[0].Text)
	assert.Equal(t, uint16(1099), all[1].Forward.Last)

	out, err = run("remove", "web1", web)
	require.NoError(t, err)
	assert.Equal(t, "- forward "+web+" of 01000000-0000-0040-8000-000000000000\n", out)
	_, _, there = net.Lookup(network.TCP, 8080)
	assert.False(t, there)
}

func TestCheck(t *testing.T) {
	run, net := world(t)
	_, err := run("add", "web1", "tcp *:8080 -> 192.168.0.10:80")
	require.NoError(t, err)
	out, err := run("check")
	require.NoError(t, err)
	assert.Empty(t, out)

	have, err := net.Read(t.Context())
	require.NoError(t, err)
	g := have.Guests[0]
	g.Forwards[0].Port = 8081
	require.NoError(t, net.Set(t.Context(), g))
	out, err = run("check")
	require.True(t, errors.Is(err, errDrift))
	assert.Equal(t, "web1  tcp *:8080 -> 192.168.0.10:80  is not in force\nweb1  tcp *:8081 -> 192.168.0.10:80  is in force, and not wanted\n", out)
}
