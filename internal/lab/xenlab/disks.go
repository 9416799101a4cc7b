package xenlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// newDisks replaces the host's disks, saved states included.
func (h *Host) newDisks(ctx context.Context, m Machine, img *image) error {
	if err := removeDisks(m); err != nil {
		return err
	}
	if err := h.lab.tool(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", img.rootFS, "-F", "raw", m.Root); err != nil {
		return err
	}
	return h.lab.tool(ctx, "qemu-img", "create", "-q", "-f", "qcow2", m.Data, dataSize)
}

func removeDisks(m Machine) error {
	for _, name := range []string{m.Root, m.Data} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// states returns which saved states are on the host's disks.
func (h *Host) states(ctx context.Context, m Machine) (map[string]bool, error) {
	if _, err := os.Stat(m.Root); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	out, err := h.lab.toolOutput(ctx, "qemu-img", "info", "-U", "--output=json", m.Root)
	if err != nil {
		return nil, err
	}
	var info struct{ Snapshots []struct{ Name string } }
	if err := json.Unmarshal(out, &info); err != nil {
		return nil, fmt.Errorf("qemu-img info %s: %w", m.Root, err)
	}
	states := make(map[string]bool)
	for _, s := range info.Snapshots {
		states[s.Name] = true
	}
	return states, nil
}
