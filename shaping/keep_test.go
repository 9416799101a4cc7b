package shaping_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/shaping"
)

// TestKeep: a vif that comes, under its own name or renamed as Xen's script
// does it, gets its limit; a throttle ends; what stands in the way is told.
func TestKeep(t *testing.T) {
	needNamespaces(t)
	s := newSpace(t)
	opts := &shaping.Options{NetNS: s.path(), LockDir: t.TempDir()}
	m, keeper := shaping.New(opts), shaping.New(opts)
	g := shaping.Guest{UUID: uuid.UUID{15: 1}, Vifs: []string{"x1.0"}, Policy: shaping.Policy{Download: 10 * shaping.Mbit}}
	other := shaping.Guest{UUID: uuid.UUID{15: 2}, Vifs: []string{"x2.0"}, Policy: g.Policy}
	other.Throttle = shaping.Throttle{Rate: shaping.Mbit, Until: time.Now().Add(2 * time.Second)}
	require.NoError(t, m.Set(t.Context(), g))
	require.NoError(t, m.Set(t.Context(), other))

	ctx, cancel := context.WithCancel(t.Context())
	var failed struct {
		sync.Mutex
		err error
	}
	ended := make(chan error)
	go func() {
		ended <- keeper.Keep(ctx, &shaping.KeepOptions{Every: time.Hour, Failed: func(err error) {
			failed.Lock()
			defer failed.Unlock()
			failed.err = errors.Join(failed.err, err)
		}})
	}()
	state := func() shaping.State {
		have, err := m.Read(t.Context())
		require.NoError(t, err)
		return have
	}
	comes := func(want shaping.Guest, why string) {
		t.Helper()
		require.Eventually(t, func() bool {
			have, _ := state().Guest(want.UUID)
			return assert.ObjectsAreEqual(want, have)
		}, 10*time.Second, 5*time.Millisecond, why)
	}

	s.ip(t, "link add x1.0 type veth peer name p1")
	comes(g, "a vif that comes under its name")
	s.ip(t, "link delete x1.0", "link add vif7.0 type veth peer name p1", "link set vif7.0 name x1.0")
	comes(g, "a vif that is renamed")

	free := other
	free.Throttle = shaping.Throttle{}
	comes(free, "a throttle ends")

	failed.Lock()
	require.NoError(t, failed.err)
	failed.Unlock()
	s.ip(t, "link add vif8.0 type veth peer name p2")
	s.run(t, "", "tc", "qdisc", "add", "dev", "vif8.0", "root", "handle", "1:", "htb")
	s.ip(t, "link set vif8.0 name x2.0")
	require.Eventually(t, func() bool {
		failed.Lock()
		defer failed.Unlock()
		return errors.Is(failed.err, shaping.ErrForeign)
	}, 10*time.Second, 5*time.Millisecond)

	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}
