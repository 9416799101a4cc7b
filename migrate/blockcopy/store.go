package blockcopy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/durable"
)

// Folder is a Store in a folder: state.json and redo.log. Only one process has
// it open at a time.
type Folder struct {
	dir string
	log logFile
}

// OpenStore opens the folder, and makes it if it is not there. Its filesystem
// must have room for a delta. ErrBusy: another process has it open.
func OpenStore(dir string) (*Folder, error) {
	if err := durable.MkdirAll(dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "redo.log"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w (%w)", dir, ErrBusy, err), f.Close())
	}
	s := &Folder{dir: dir, log: logFile{f}}
	if err := durable.Sync(dir); err != nil { // the log's name
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// hasState tells whether there is a replica's state in the folder.
func hasState(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "state.json"))
	return err == nil
}

// Load implements Store.
func (s *Folder) Load() (State, error) {
	var state State
	text, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return state, err
	}
	if err := json.Unmarshal(text, &state); err != nil {
		return state, fmt.Errorf("%s: %w", s.path(), err)
	}
	return state, nil
}

// Save implements Store.
func (s *Folder) Save(state State) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return durable.WriteFile(s.path(), text)
}

func (s *Folder) path() string { return filepath.Join(s.dir, "state.json") }

// Log implements Store.
func (s *Folder) Log() Log { return s.log }

// Close gives the folder back.
func (s *Folder) Close() error { return s.log.Close() }

type logFile struct{ *os.File }

// Sync flushes what was written.
func (l logFile) Sync() error { return unix.Fdatasync(int(l.Fd())) }

// Size implements Log.
func (l logFile) Size() (int64, error) {
	info, err := l.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
