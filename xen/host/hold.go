package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/durable"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Hold is the exclusive right to change one guest on this host. It is an flock
// on UUID.lock beside the definition, so it ends with Release or with the
// process, and nobody ever has to remove a stale one.
//
// Every verb of Host takes one for its time; a move keeps one on each host.
type Hold struct {
	h       *Host
	id      uuid.UUID
	file    *os.File
	scratch string // "" until Scratch
}

// Hold takes the right to change a guest, or returns ErrBusy at once.
func (h *Host) Hold(id uuid.UUID) (*Hold, error) {
	if err := durable.MkdirAll(h.guests.dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(h.guests.path(id, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, &Error{Op: "hold", Name: id.String(), Err: err}
	}
	return &Hold{h: h, id: id, file: f}, nil
}

// Release gives the right back. A second Release does nothing.
func (l *Hold) Release() {
	if l.file != nil {
		if l.scratch != "" {
			_ = os.RemoveAll(l.scratch) // the next Scratch does it else
		}
		l.file.Close()
		l.file = nil
	}
}

// Record returns the guest's owner record; the zero Record if there is none.
func (l *Hold) Record() (owner.Record, error) {
	r, err := l.h.owners.Get(l.id)
	if errors.Is(err, fs.ErrNotExist) {
		return owner.Record{}, nil
	}
	return r, err
}

// SetRecord replaces the owner record durably; owner.ErrTransition refuses a
// step that the rules of a hand-over do not allow.
func (l *Hold) SetRecord(r owner.Record) error {
	if r.UUID != l.id {
		return &Error{Op: "set owner", Name: l.name(), Err: fmt.Errorf("%w: record of %s", ErrInvalid, r.UUID)}
	}
	if err := l.h.owners.Put(r); err != nil {
		return &Error{Op: "set owner", Name: l.name(), Err: err}
	}
	l.h.log.Info("owner record", "guest", l.id, "state", r.State, "epoch", r.Epoch, "peer", r.Peer)
	return nil
}

// Definition returns what the guest should be: of a guest that is being
// received, its incoming definition; of one that was handed away, the one that
// was put aside; of a replica, the one that came with it. fs.ErrNotExist: this host knows nothing of it.
func (l *Hold) Definition() (Guest, error) { return l.h.definition(l.id) }

func (h *Host) definition(id uuid.UUID) (Guest, error) {
	for _, k := range []kind{own, incoming, released, replica} {
		g, err := h.guests.get(id, k)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return g, err
		}
	}
	return Guest{}, &Error{Op: "find", Name: id.String(), Err: fs.ErrNotExist}
}

// Domain returns the guest's domain, or nil if none runs here.
func (l *Hold) Domain(ctx context.Context) (*xen.Domain, error) { return l.h.domain(ctx, l.id) }

func (h *Host) domain(ctx context.Context, id uuid.UUID) (*xen.Domain, error) {
	d, err := h.domains.Lookup(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// name is what errors call the guest: its name, if it has one here.
func (l *Hold) name() string {
	if g, err := l.h.definition(l.id); err == nil {
		return g.Name
	}
	return l.id.String()
}
