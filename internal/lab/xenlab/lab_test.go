package xenlab

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOneLabAMachine(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(t.Context(), dir, nil)
	require.NoError(t, err)

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Open(short, dir, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	second := make(chan error)
	go func() {
		l, err := Open(t.Context(), dir, nil)
		if err == nil {
			err = l.Close()
		}
		second <- err
	}()
	require.NoError(t, first.Close())
	require.NoError(t, <-second)
}

func TestWhatIsInterruptedIsNotBuilt(t *testing.T) {
	l, err := Open(t.Context(), t.TempDir(), nil)
	require.NoError(t, err)
	defer l.Close()
	cut := errors.New("cut")
	_, err = l.once(t.Context(), "base-1", func(_ context.Context, dir string) error {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "half"), nil, 0o600))
		return cut
	})
	require.ErrorIs(t, err, cut)

	builds := 0
	build := func(_ context.Context, dir string) error {
		builds++
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Empty(t, left, "of the half that was there")
		return os.WriteFile(filepath.Join(dir, "whole"), nil, 0o600)
	}
	for range 2 {
		dir, err := l.once(t.Context(), "base-1", build)
		require.NoError(t, err)
		assert.FileExists(t, filepath.Join(dir, "whole"))
	}
	assert.Equal(t, 1, builds)
}

func TestOldImagesAreRemoved(t *testing.T) {
	l, err := Open(t.Context(), t.TempDir(), nil)
	require.NoError(t, err)
	defer l.Close()
	for _, name := range []string{"base-1", "base-2", "image-1", "image-2", "image-3.unfinished"} {
		require.NoError(t, os.Mkdir(filepath.Join(l.dir, name), 0o755))
	}
	l.forget("base-2", "image-2")
	left, err := filepath.Glob(filepath.Join(l.dir, "*-*"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(l.dir, "base-2"), filepath.Join(l.dir, "image-2")}, left)
}

func TestNoSuchHost(t *testing.T) {
	l, err := Join(t.TempDir(), nil)
	require.NoError(t, err)
	_, err = l.Host("rum")
	require.ErrorIs(t, err, fs.ErrNotExist)
	h, err := l.Host("islay")
	require.NoError(t, err)
	assert.False(t, h.Running())
	assert.Equal(t, "203.0.113.2", h.ExternalIP())
	assert.ErrorContains(t, h.Put(t.Context(), "x", "relative"), "not an absolute path")
}
