package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/durable"
)

func TestWriteFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	require.NoError(t, durable.MkdirAll(dir))
	require.NoError(t, durable.MkdirAll(dir), "again")
	path := filepath.Join(dir, "f")
	for _, content := range []string{"old", "new", ""} {
		require.NoError(t, durable.WriteFile(path, []byte(content)))
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, content, string(got))
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, durable.Rename(path, path+".old"))
	require.NoError(t, durable.Remove(path+".old"))
	require.NoError(t, durable.Remove(path+".old"), "again")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries, "no temporary file stays")
}

// A write that fails leaves the old content and no temporary file.
func TestFailedWriteKeepsTheOld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	require.NoError(t, os.Mkdir(path, 0o700)) // a folder can not be replaced by a file
	require.Error(t, durable.WriteFile(path, []byte("new")))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Error(t, durable.WriteFile(filepath.Join(dir, "nowhere", "f"), nil))
}
