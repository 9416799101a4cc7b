package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/internal/durable"
)

// definitions keeps what guests should be, a file each, in one folder:
//
//	UUID.json           a guest of this host
//	UUID.incoming.json  of a guest that is being received
//	UUID.released.json  of a guest that was handed away
//	UUID.replica.json   of a guest that runs elsewhere and is kept here as a replica
type definitions struct{ dir string }

// A kind is the ending of a definition's file name.
type kind string

const (
	own      kind = ".json"
	incoming kind = ".incoming.json"
	released kind = ".released.json"
	replica  kind = ".replica.json"
)

// format is written into each file. A file of another format is refused, not
// guessed at.
const format = 1

type envelope struct {
	Format int   `json:"format"`
	Guest  Guest `json:"guest"`
}

func (d definitions) path(id uuid.UUID, k kind) string {
	return filepath.Join(d.dir, id.String()+string(k))
}

// get reads a definition, or fs.ErrNotExist.
func (d definitions) get(id uuid.UUID, k kind) (Guest, error) {
	path := d.path(id, k)
	data, err := os.ReadFile(path)
	if err != nil {
		return Guest{}, err
	}
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return Guest{}, fmt.Errorf("definition %s: %w", path, err)
	}
	if e.Format != format {
		return Guest{}, fmt.Errorf("definition %s: format %d, this version reads %d", path, e.Format, format)
	}
	if e.Guest.UUID != id {
		return Guest{}, fmt.Errorf("definition %s: is of guest %s", path, e.Guest.UUID)
	}
	return e.Guest, nil
}

// put writes a definition durably.
func (d definitions) put(g Guest, k kind) error {
	if err := durable.MkdirAll(d.dir); err != nil {
		return err
	}
	data, err := json.MarshalIndent(envelope{Format: format, Guest: g}, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(d.path(g.UUID, k), append(data, '\n'))
}

// rename moves a definition from one kind to another; there being none of the
// old kind is no error.
func (d definitions) rename(id uuid.UUID, from, to kind) error {
	err := durable.Rename(d.path(id, from), d.path(id, to))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// remove removes a definition; there being none is no error.
func (d definitions) remove(id uuid.UUID, k kind) error {
	if _, err := os.Stat(d.path(id, k)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return durable.Remove(d.path(id, k))
}
