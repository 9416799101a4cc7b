package owner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/internal/durable"
)

// Store keeps the records of one host as UUID.owner.json in a folder. It does
// not lock: the caller holds the guest (see host.Hold).
type Store struct {
	dir string
	now func() time.Time
}

// Options changes how a Store works; nil is the defaults.
type Options struct {
	Now func() time.Time // for Record.Since; nil is time.Now
}

const suffix = ".owner.json"

// NewStore returns the store in dir, which must exist when it is written to.
func NewStore(dir string, opts *Options) *Store {
	s := &Store{dir: dir, now: time.Now}
	if opts != nil && opts.Now != nil {
		s.now = opts.Now
	}
	return s
}

// Get reads a guest's record, or fs.ErrNotExist. A record that can not be read
// is an error, never "none": nothing is started on a guess.
func (s *Store) Get(id uuid.UUID) (Record, error) {
	data, err := os.ReadFile(s.path(id))
	if err != nil {
		return Record{}, err
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, fmt.Errorf("owner record %s: %w", s.path(id), err)
	}
	if r.UUID != id {
		return Record{}, fmt.Errorf("owner record %s: is of guest %s", s.path(id), r.UUID)
	}
	return r, nil
}

// Put replaces a guest's record. When it returns nil, the record survives a
// power failure. ErrTransition: the step is not legal; nothing was changed.
func (s *Store) Put(r Record) error {
	old, err := s.Get(r.UUID)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := old.Check(r); err != nil {
		return err
	}
	r.Since = s.now().UTC().Truncate(time.Millisecond)
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(s.path(r.UUID), append(data, '\n'))
}

// List returns all records, ordered by UUID. One that can not be read is an
// error joined to what could be.
func (s *Store) List() ([]Record, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []Record
	errs := []error{err}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		id, err := uuid.Parse(name)
		if !ok || err != nil {
			continue
		}
		r, err := s.Get(id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, r)
	}
	return all, errors.Join(errs...)
}

// Remove forgets a guest that was terminated here; there being no record is no
// error.
func (s *Store) Remove(id uuid.UUID) error { return durable.Remove(s.path(id)) }

func (s *Store) path(id uuid.UUID) string { return filepath.Join(s.dir, id.String()+suffix) }
