package flock

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAcquire(t *testing.T) {
	path := filepath.Join(t.TempDir(), "locks", "host.lock")
	release, err := Acquire(t.Context(), path)
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = Acquire(ctx, path)
	require.ErrorIs(t, err, context.DeadlineExceeded, "it is taken")

	got := make(chan error)
	go func() {
		second, err := Acquire(t.Context(), path)
		if err == nil {
			second()
		}
		got <- err
	}()
	release()
	require.NoError(t, <-got, "the next in line gets it")
}
