package host_test

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/xen/host"
)

func TestSetForwards(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.Provision(ctx, web1(t), nil)
	require.NoError(t, err)
	has := func(want ...network.Forward) {
		t.Helper()
		kept, err := w.Guest(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, want, kept.Guest.Forwards)
		have, err := w.network.Read(ctx)
		require.NoError(t, err)
		assert.Equal(t, want, have.Guests[0].Forwards)
	}
	to := netip.MustParseAddrPort("192.168.0.10:80")
	web, dns := network.Forward{Proto: network.TCP, Port: 8081, To: to}, network.Forward{Proto: network.UDP, Port: 53, To: to}
	g, err := w.SetForwards(ctx, id, []network.Forward{dns, web})
	require.NoError(t, err)
	assert.Equal(t, []network.Forward{web, dns}, g.Forwards, "in order")
	has(web, dns)

	_, err = w.SetForwards(ctx, id, []network.Forward{{Proto: network.TCP, Port: 22, To: to}})
	require.ErrorIs(t, err, network.ErrReserved)
	var e *host.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "web1", e.Name)
	has(web, dns)

	broken := errors.New("plug pulled")
	w.network.Fail("set", broken)
	_, err = w.SetForwards(ctx, id, nil)
	require.ErrorIs(t, err, broken)
	has(web, dns)

	_, err = w.SetForwards(ctx, uuid.New(), nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = w.SetForwards(ctx, id, nil)
	require.NoError(t, err)
	has()
}

// diskGone is a network that takes the definitions' folder away as it is set.
type diskGone struct {
	network.Manager
	dir string
}

func (d diskGone) Set(ctx context.Context, g network.Guest) error {
	err := d.Manager.Set(ctx, g)
	if _, gone := os.Stat(d.dir + ".away"); gone != nil {
		err = errors.Join(err, os.Rename(d.dir, d.dir+".away"), os.WriteFile(d.dir, nil, 0o600))
	}
	return err
}

// TestSetForwardsGoesBack: what can not be kept is not in force.
func TestSetForwardsGoesBack(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	_, err := w.Provision(ctx, web1(t), nil)
	require.NoError(t, err)
	before, err := w.network.Read(ctx)
	require.NoError(t, err)
	broken := host.New(host.Config{Name: "curacao", Domains: w.domains, Volumes: w.volumes, StateDir: w.state,
		Network: diskGone{w.network, filepath.Join(w.state, "guests")}})
	_, err = broken.SetForwards(ctx, id, nil)
	require.Error(t, err)
	after, err := w.network.Read(ctx)
	require.NoError(t, err)
	assert.Equal(t, before, after)
}
