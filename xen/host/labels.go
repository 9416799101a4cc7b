package host

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"regexp"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/host/owner"
)

// Labels are a caller's notes on a guest, as the order that it was made for:
// at most 64, with keys of 1 to 63 small letters, digits, dots and hyphens, and
// values of at most 1024 bytes.
type Labels map[string]string

var labelKey = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

// Validate refuses labels that are too many, too long or of another form.
func (l Labels) Validate() error {
	if len(l) > 64 {
		return fmt.Errorf("%w: %d labels, at most 64", ErrInvalid, len(l))
	}
	for k, v := range l {
		if !labelKey.MatchString(k) || len(v) > 1024 {
			return fmt.Errorf("%w: label %.70q of %d bytes", ErrInvalid, k, len(v))
		}
	}
	return nil
}

// SetLabels changes labels of a guest and leaves the others; an empty value takes
// one away. It does not matter whether the guest runs.
func (h *Host) SetLabels(_ context.Context, id uuid.UUID, labels Labels) (Guest, error) {
	l, err := h.Hold(id)
	if err != nil {
		return Guest{}, err
	}
	defer l.Release()
	g, err := l.ours()
	if err == nil {
		all := maps.Clone(g.Labels)
		if all == nil {
			all = make(Labels)
		}
		maps.Copy(all, labels)
		maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
		g.Labels = all
		if err = all.Validate(); err == nil {
			err = h.guests.put(g, own)
		}
	}
	if err != nil {
		return Guest{}, &Error{Op: "label", Name: l.name(), Err: err}
	}
	return g, nil
}

// ours returns the definition of a guest that this host may run and that no move
// is under way with. fs.ErrNotExist, ErrNotOwner.
func (l *Hold) ours() (Guest, error) {
	r, err := l.Record()
	if err == nil && r.State == "" {
		err = fs.ErrNotExist
	}
	if err == nil {
		err = r.MayRun()
	}
	if err == nil && r.State != owner.Running {
		err = fmt.Errorf("%w: a move to %s is %s; resume it first", ErrNotOwner, r.Peer, r.State)
	}
	if err != nil {
		return Guest{}, err
	}
	return l.h.guests.get(l.id, own)
}
