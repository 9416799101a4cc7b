package seed

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

// The label by which cloud-init knows a seed.
const label = "cidata"

// ISO returns the seed as an ISO 9660 filesystem with Rock Ridge and Joliet
// names. instance is the instance-id: as long as it is the same, cloud-init does
// nothing again; the guest's UUID is right for a guest that is new.
func (s Seed) ISO(instance string) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	files, err := s.files(instance)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "seed-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	content, err := build(dir, files)
	if err != nil {
		return nil, fmt.Errorf("seed: %w", err)
	}
	return content, nil
}

func build(dir string, files map[string][]byte) (_ []byte, err error) {
	tree, out := filepath.Join(dir, "tree"), filepath.Join(dir, "seed.iso")
	if err := os.Mkdir(tree, 0o700); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(tree, name), files[name], 0o400); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	made, err := iso9660.Create(file.New(f, false), 0, 0, 0, tree)
	if err != nil {
		return nil, err
	}
	if err := made.Finalize(iso9660.FinalizeOptions{RockRidge: true, Joliet: true, VolumeIdentifier: label}); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}
