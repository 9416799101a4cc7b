package xenstore_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/xenstore"
	"github.com/xenhost/xenhost/xen/xenstore/xenstoretest"
)

// What a guest may do in the fake, and how much of it.

func TestGuestPermissions(t *testing.T) {
	server, ctx := xenstoretest.New(nil), t.Context()
	dom0, guest := server.Dial(nil), server.DialAs(5, nil)
	defer dom0.Close()
	defer guest.Close()
	mine := func(name string) string { return "/local/domain/5/" + name }
	require.NoError(t, dom0.Write(ctx, mine("name"), []byte("web1")))
	for _, path := range []string{"/local/domain/5", mine("name")} {
		require.NoError(t, dom0.SetPerms(ctx, path, xenstore.Perm{Access: xenstore.None}, xenstore.Perm{Domain: 5, Access: xenstore.Read}))
	}
	require.NoError(t, dom0.Mkdir(ctx, mine("data")))
	require.NoError(t, dom0.SetPerms(ctx, mine("data"), xenstore.Perm{Domain: 5, Access: xenstore.None}))

	v, err := guest.Read(ctx, mine("name"))
	require.NoError(t, err)
	assert.Equal(t, "web1", string(v))
	require.ErrorIs(t, guest.Write(ctx, mine("name"), []byte("dom0")), fs.ErrPermission)
	require.ErrorIs(t, guest.Remove(ctx, mine("name")), fs.ErrPermission)
	require.ErrorIs(t, guest.Write(ctx, mine("other"), nil), fs.ErrPermission, "nothing new beside it")
	_, err = guest.Read(ctx, "/local/domain/6/name")
	require.ErrorIs(t, err, fs.ErrPermission, "not even that it is missing")

	require.NoError(t, guest.Write(ctx, mine("data/x"), []byte("\x1b[2J")))
	perms, err := dom0.Perms(ctx, mine("data/x"))
	require.NoError(t, err)
	assert.Equal(t, []xenstore.Perm{{Domain: 5, Access: xenstore.None}}, perms, "it is the guest's own")
	require.ErrorIs(t, guest.SetPerms(ctx, mine("data/x"), xenstore.Perm{Domain: 0, Access: xenstore.None}), fs.ErrPermission, "it can not be given away")
	v, err = dom0.Read(ctx, mine("data/x"))
	require.NoError(t, err)
	_, err = v.Text(100)
	require.ErrorIs(t, err, xenstore.ErrInvalid)

	// A guest hears of what it may read, and of no other domain's coming and going.
	w, err := guest.Watch(ctx, "/local/domain")
	require.NoError(t, err)
	releases, err := guest.Watch(ctx, xenstore.ReleaseDomain)
	require.NoError(t, err)
	for _, w := range []*xenstore.Watch{w, releases} {
		_, _ = w.Next(ctx) // the first one tells nothing
	}
	require.NoError(t, dom0.Write(ctx, "/local/domain/6/name", nil))
	require.NoError(t, dom0.Write(ctx, mine("name"), []byte("web2")))
	e, err := w.Next(ctx)
	require.NoError(t, err)
	assert.Equal(t, mine("name"), e.Path)
	there, err := guest.Introduced(ctx, 5)
	require.NoError(t, err)
	assert.False(t, there)
	server.Introduce(5)
	there, err = guest.Introduced(ctx, 5)
	require.NoError(t, err)
	assert.True(t, there)
	server.Release(5)
	<-guest.Done()
}

func TestGuestQuotas(t *testing.T) {
	server, ctx := xenstoretest.New(&xenstoretest.Quotas{Nodes: 20, Watches: 3, Transactions: 2, NodeSize: 500, TxNodes: 10}), t.Context()
	dom0, guest := server.Dial(nil), server.DialAs(5, nil)
	defer dom0.Close()
	defer guest.Close()
	const top = "/local/domain/5"
	require.NoError(t, dom0.Mkdir(ctx, top))
	require.NoError(t, dom0.SetPerms(ctx, top, xenstore.Perm{Domain: 5, Access: xenstore.None}))

	// until counts what is allowed before the quota ends it.
	until := func(try func(i int) error) (n int) {
		for ; n < 1000; n++ {
			if err := try(n); err != nil {
				require.ErrorIs(t, err, xenstore.ErrQuota)
				return n
			}
		}
		return n
	}
	assert.Equal(t, 19, until(func(i int) error { return guest.Write(ctx, fmt.Sprintf("%s/%d", top, i), nil) }), "and the top one")
	assert.Equal(t, 4, until(func(int) error { _, err := guest.Watch(ctx, top); return err }), "one more, as the daemon has it")
	assert.Equal(t, 492, until(func(n int) error { return guest.Write(ctx, top+"/1", []byte(strings.Repeat("x", n+1))) }))
	perms := make([]xenstore.Perm, 6)
	for i := range perms {
		perms[i] = xenstore.Perm{Domain: 5 + i, Access: xenstore.Read}
	}
	require.ErrorIs(t, guest.SetPerms(ctx, top, perms...), xenstore.ErrQuota)
	require.NoError(t, guest.SetPerms(ctx, top, perms[:5]...))
	require.ErrorIs(t, guest.Update(ctx, func(tx *xenstore.Tx) error {
		for i := range 19 {
			if _, err := tx.Read(ctx, fmt.Sprintf("%s/%d", top, i)); err != nil {
				return err
			}
		}
		return nil
	}), xenstore.ErrQuota)
	var deep func(n int) error
	deep = func(n int) error { return guest.Update(ctx, func(*xenstore.Tx) error { return deep(n + 1) }) }
	require.ErrorIs(t, deep(0), xenstore.ErrQuota)
	_, err := guest.Control(ctx, "check")
	require.ErrorIs(t, err, fs.ErrPermission)

	// A device of a guest at its quota can not be set up; dom0 has none.
	require.NoError(t, dom0.Write(ctx, top+"/device/vif/0/state", []byte("1")))
}
