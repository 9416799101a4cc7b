package flock

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "locks", "a.lock")
	unlock, err := Wait(t.Context(), path)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = Wait(ctx, path)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, path)
	unlock()
	_, err = Wait(ctx, path)
	require.ErrorIs(t, err, context.DeadlineExceeded, "a call that is too late takes nothing")
	unlock, err = Wait(t.Context(), path)
	require.NoError(t, err)
	unlock()
}

func TestGoroutinesWaitForEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.lock")
	var inside, most atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			unlock, err := Wait(t.Context(), path)
			if !assert.NoError(t, err) {
				return
			}
			defer unlock()
			most.Store(max(most.Load(), inside.Add(1)))
			time.Sleep(time.Millisecond)
			inside.Add(-1)
		})
	}
	wait.Wait()
	assert.EqualValues(t, 1, most.Load())
}
