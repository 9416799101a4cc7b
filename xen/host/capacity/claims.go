package capacity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/durable"
	"github.com/xenhost/xenhost/internal/flock"
)

// Claim is what an operation that is under way will need.
type Claim struct {
	UUID uuid.UUID `json:"uuid"` // of the guest
	Name string    `json:"name"`
	Op   string    `json:"op"` // as "provision"; for people
	Need
}

// Claims are those of one host, in a folder of its own.
type Claims struct{ dir string }

// NewClaims uses the folder dir, which it makes when it is first needed.
func NewClaims(dir string) *Claims { return &Claims{dir: dir} }

// Lock waits for the right to look at the claims and to make one, which one
// operation of the host has at a time, or until ctx ends.
func (c *Claims) Lock(ctx context.Context) (*Desk, error) {
	if err := durable.MkdirAll(c.dir); err != nil {
		return nil, err
	}
	unlock, err := flock.Wait(ctx, filepath.Join(c.dir, "lock"))
	if err != nil {
		return nil, err
	}
	return &Desk{dir: c.dir, Unlock: unlock}, nil
}

// Desk is where claims are made, one after the other.
type Desk struct {
	dir string
	// Unlock ends it; the claims that were made stay.
	Unlock func()
}

// Live returns the claims whose processes live, and removes the files of those
// that do not.
func (d *Desk) Live() ([]Claim, error) {
	paths, err := filepath.Glob(filepath.Join(d.dir, "*.claim"))
	if err != nil {
		return nil, err
	}
	var live []Claim
	for _, path := range paths {
		c, ok, err := look(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // released meanwhile
		case err != nil:
			return nil, err
		case ok:
			live = append(live, c)
		default:
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
	}
	return live, nil
}

// look reads a claim; ok is false if nobody holds it.
func look(path string) (c Claim, ok bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return c, false, err
	}
	defer f.Close()
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); {
	case err == nil:
		return c, false, nil
	case !errors.Is(err, unix.EWOULDBLOCK):
		return c, false, fmt.Errorf("claim %s: %w", path, err)
	}
	if err := json.NewDecoder(f).Decode(&c); err != nil {
		return c, false, fmt.Errorf("claim %s: %w", path, err)
	}
	return c, true, nil
}

// Make makes a claim that lasts until Release, or until the process ends.
func (d *Desk) Make(c Claim) (*Held, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(d.dir, c.UUID.String()+"-*.claim")
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		_, err = f.Write(data)
	}
	h := &Held{file: f}
	if err != nil {
		h.Release()
		return nil, fmt.Errorf("claim for %s: %w", c.UUID, err)
	}
	return h, nil
}

// Held is a claim of this process.
type Held struct{ file *os.File }

// Release gives up the claim. A second Release does nothing, nor does that of
// nil.
func (h *Held) Release() {
	if h == nil || h.file == nil {
		return
	}
	_ = os.Remove(h.file.Name()) // it is nobody's without the lock, and Live clears it away
	_ = h.file.Close()
	h.file = nil
}
