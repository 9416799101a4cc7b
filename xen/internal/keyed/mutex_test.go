package keyed

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOneHolderAtATime(t *testing.T) {
	var m Mutex[string]
	n := 0 // guarded by the key "a"; the race detector would tell
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			unlock, err := m.Lock(context.Background(), "a")
			if assert.NoError(t, err) {
				n++
				unlock()
			}
		})
	}
	wg.Wait()
	assert.Equal(t, 50, n)
	assert.Empty(t, m.held, "a free key is forgotten")
}

func TestKeysDoNotWaitForEachOther(t *testing.T) {
	var m Mutex[string]
	a, err := m.Lock(context.Background(), "a")
	require.NoError(t, err)
	b, err := m.Lock(context.Background(), "b")
	require.NoError(t, err)
	b()
	a()
}

func TestLockGivesUpWithItsContext(t *testing.T) {
	var m Mutex[string]
	unlock, err := m.Lock(context.Background(), "a")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = m.Lock(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)
	unlock()
	assert.Empty(t, m.held)
}
