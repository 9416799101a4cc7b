package xen

import (
	"context"
	"io"

	"github.com/google/uuid"
)

// Saver moves the memory and the CPUs' state of a domain through a stream. The
// disks are not in it: they must be as they were at the Save when it is
// restored.
type Saver interface {
	// Save suspends the domain and writes it to w. Until w has taken all of it
	// the domain is still there, so when Save fails, because of w, of ctx or of
	// the guest, the domain runs on; if even that is not so, the error matches
	// ErrDirty. A guest that is paused, or does not answer (ErrNoAnswer), can
	// not be saved.
	//
	// What w gets is the whole memory of the guest, its secrets included.
	Save(ctx context.Context, id uuid.UUID, w io.Writer, opts *SaveOptions) error
	// Restore makes a domain of what Save wrote. What the domain is called and
	// what disks and vifs it has is taken from spec alone, never from r; its
	// type, its memory and its devices must be those that were saved. r is
	// still to be trusted: Xen's tools parse it as root. When Restore fails,
	// nothing is left behind.
	Restore(ctx context.Context, spec Spec, r io.Reader, opts *RestoreOptions) (Domain, error)
}

// SaveOptions changes how Save works; nil is to destroy what was saved.
type SaveOptions struct {
	// Then is what becomes of the domain when w has all: "" is destroyed,
	// Running goes on, Paused stays in memory, to be destroyed or unpaused by
	// the caller.
	Then State
}

// RestoreOptions changes how Restore works; nil lets the domain run.
type RestoreOptions struct {
	Paused bool // leave the domain paused
}
