package xen

import (
	"context"
	"errors"
	"io"

	"github.com/google/uuid"
)

// Migrator brings a domain with its memory to another host while its guest
// lives. It is the two halves of a conversation, in the words of Xen's own tool;
// migrate/relay tells them, and stands between.
//
// The domain is called NAME--migratedaway at the source once that has given it
// away, and NAME--incoming at the target until that was given it; its UUID is
// the same.
type Migrator interface {
	// SendTo is the source's half. Until it has said that the domain is the
	// target's, a failure leaves the domain running here; after that it is
	// ErrUndefined, and the domain stays, suspended, until somebody who looked
	// at both hosts acts. nil: the target has reported that it runs, and the
	// domain is gone here.
	//
	// When ctx ends the conversation is cut, and SendTo waits for what follows
	// from that. When this process dies the same happens without it.
	SendTo(ctx context.Context, id uuid.UUID, conn io.ReadWriter, opts *SendOptions) error
	// ReceiveFrom is the target's half. What the domain is called and what
	// disks and vifs it has is taken from spec alone, never from conn; as of
	// Saver.Restore. nil: it runs, and the source was told.
	//
	// When the conversation ends before the source has given the domain away,
	// nothing of it is left here, or it is left paused: Destroy takes it away.
	ReceiveFrom(ctx context.Context, spec Spec, conn io.ReadWriter) (Domain, error)
	// Settle returns when no half of a migration of this domain, of whatever
	// process, is at work on this host any more.
	Settle(ctx context.Context, id uuid.UUID) error
	// Wake lets a domain run that a half of a migration or a Save left paused
	// here, under the name name: at the target, and at a source that takes it
	// back. ErrBusy: it is suspended, and nothing can make it go on.
	Wake(ctx context.Context, id uuid.UUID, name string) error
}

// SendOptions changes how SendTo works; nil is to send while the guest runs.
type SendOptions struct {
	// Suspended stops the guest first and then sends all of its memory: for PV
	// guests, whose writes Xen can not follow without shadow paging.
	Suspended bool
}

// ErrUndefined: a migration broke after the source had given the domain away.
var ErrUndefined = errors.New("failed during the final handshake: who runs the domain is undefined")

const (
	// AwaySuffix ends the name of a domain that was given away.
	AwaySuffix = "--migratedaway"
	// IncomingSuffix ends the name of a domain that is arriving.
	IncomingSuffix = "--incoming"
)
