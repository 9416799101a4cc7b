package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/internal/durable"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/host"
)

// Generation is a guest as it was at one moment, whole, at the peer.
type Generation struct {
	Run    uuid.UUID `json:"run"`
	Number int       `json:"number"` // 1 is the first
	From   string    `json:"from"`   // the host that it is of
	Epoch  uint64    `json:"epoch"`  // of the guest there
	// Taken is when the first of its snapshots was made, by the clock of From;
	// Confirmed is when the peer held all of it, by its own.
	Taken     time.Time  `json:"taken"`
	Confirmed time.Time  `json:"confirmed"`
	Guest     host.Guest `json:"guest"`
	// Disks is what each volume holds, by Disk.Dev.
	Disks map[string]blockcopy.Generation `json:"disks"`
	// Sums are the SHA-256 of the disks, if both ends were read and compared.
	Sums map[string]string `json:"sums,omitempty"`
	// Doubt says why it can not be trusted, usually "".
	Doubt string `json:"doubt,omitempty"`
}

// The files in host.Host.ReplicaDir, beside a folder a disk.
const (
	generationFile = "generation.json" // what the volumes hold
	nextFile       = "next.json"       // what they will hold: applying has begun
	runFile        = "run.json"        // the run that the redo logs are of
)

// read reads a JSON file; there being none leaves v as it is.
func read(path string, v any) (there bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
}

// write writes a JSON file durably.
func write(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(text, '\n'))
}

// load returns the generation in a folder, or nil.
func load(dir string) (*Generation, error) {
	var g Generation
	there, err := read(filepath.Join(dir, generationFile), &g)
	if err != nil || !there {
		return nil, err
	}
	return &g, nil
}
