// Package durable writes small files so that a crash or a power failure at
// any moment leaves the old content or the new one, never half of it.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile replaces the file at path with data, mode 0600. When it returns
// nil, the new content survives a power failure: the data was synced before
// the rename (rename(2) alone does not promise that) and the folder after it.
func WriteFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // after the rename there is nothing of that name
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return Rename(tmp.Name(), path)
}

// Rename renames a file inside one folder; when it returns nil the new name
// survives a power failure.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return Sync(filepath.Dir(to))
}

// Remove removes a file; there being none is no error. When it returns nil
// the file does not come back after a power failure.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return Sync(filepath.Dir(path))
}

// MkdirAll makes a folder that only this user reads, and syncs its parent.
func MkdirAll(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return Sync(filepath.Dir(dir))
}

// Sync makes what was created, renamed or removed in a folder survive a power
// failure.
func Sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
