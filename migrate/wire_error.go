package migrate

import (
	"context"
	"errors"
	"io/fs"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// wireError is an error as it crosses the connection: its text, and which of
// the errors that a caller may ask for it is.
type wireError struct {
	Codes []string `json:"codes,omitempty"`
	Text  string   `json:"text"`
}

// codes names the errors that errors.Is still finds on the other side. A code
// that the other side does not know is left out there; the text remains.
func codes() []struct {
	code string
	err  error
} {
	return []struct {
		code string
		err  error
	}{
		{"not-exist", fs.ErrNotExist},
		{"exist", fs.ErrExist},
		{"unsupported", errors.ErrUnsupported},
		{"cancelled", context.Canceled},
		{"deadline", context.DeadlineExceeded},
		{"busy", host.ErrBusy},
		{"invalid", host.ErrInvalid},
		{"foreign", host.ErrForeign},
		{"stale", host.ErrStale},
		{"never-live", host.ErrNeverLive},
		{"not-owner", owner.ErrNotOwner},
		{"override", owner.ErrOverride},
		{"transition", owner.ErrTransition},
		{"no-space", lvm.ErrNoSpace},
		{"snapshot-invalid", lvm.ErrSnapshotInvalid},
		{"volume-busy", lvm.ErrBusy},
		{"volume-inactive", lvm.ErrInactive},
		{"volume-unwiped", lvm.ErrUnwiped},
		{"volume-invalid", lvm.ErrInvalid},
		{"no-memory", xen.ErrNoMemory},
		{"domain-busy", xen.ErrBusy},
		{"domain-dirty", xen.ErrDirty},
		{"domain-invalid", xen.ErrInvalid},
		{"network-foreign", network.ErrForeign},
		{"network-conflict", network.ErrConflict},
		{"network-reserved", network.ErrReserved},
		{"network-invalid", network.ErrInvalid},
		{"rates-foreign", shaping.ErrForeign},
		{"rates-conflict", shaping.ErrConflict},
		{"rates-overcommitted", shaping.ErrOvercommitted},
		{"rates-invalid", shaping.ErrInvalid},
		{"stream", blockcopy.ErrStream},
		{"base", blockcopy.ErrBase},
		{"superseded", replica.ErrSuperseded},
		{"unproven", replica.ErrUnproven},
		{"doubtful", replica.ErrDoubtful},
		{"protocol", ErrProtocol},
		{"unreachable", ErrUnreachable},
	}
}

func toWire(err error) *wireError {
	w := &wireError{Text: err.Error()}
	for _, c := range codes() {
		if errors.Is(err, c.err) {
			w.Codes = append(w.Codes, c.code)
		}
	}
	return w
}

// remoteError is a wireError that has arrived.
type remoteError struct {
	host string
	text string
	is   []error
}

func (w *wireError) arrived(host string) error {
	e := &remoteError{host: host, text: w.Text}
	for _, code := range w.Codes {
		for _, c := range codes() {
			if c.code == code {
				e.is = append(e.is, c.err)
			}
		}
	}
	return e
}

// Error reads as "islay: host: start web1: ...".
func (e *remoteError) Error() string { return e.host + ": " + e.text }

// Unwrap returns what errors.Is may find.
func (e *remoteError) Unwrap() []error { return e.is }
