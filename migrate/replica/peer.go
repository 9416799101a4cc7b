package replica

import (
	"context"
	"crypto/sha256"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Peer is a host that keeps replicas: a *migrate.Remote, or At of a host here.
type Peer interface {
	Name() string
	// Keep holds a guest's replica there until Close, or the end of the
	// connection. host.ErrBusy: somebody else holds it.
	Keep(ctx context.Context, guest uuid.UUID) (Keeper, error)
	// Kept returns what it keeps, ordered by UUID.
	Kept(ctx context.Context) ([]Kept, error)
}

// Keeper is a replica while it is held at the peer. Its verbs are called one
// after the other.
type Keeper interface {
	// Begin makes room, finishes what a crash left, and drops what arrived for
	// other runs and was not confirmed. ErrSuperseded, host.ErrForeign,
	// fs.ErrExist (the peer owns the guest), lvm.ErrNoSpace.
	Begin(ctx context.Context, o Offer) (Held, error)
	// Push opens a connection to blockcopy.Serve for one disk.
	Push(ctx context.Context, dev string) (io.ReadWriteCloser, error)
	// Commit makes what has arrived the replica's generation; the peer fills in
	// From, Epoch, Number, Guest and Confirmed. Repeated for the same run it adds
	// Sums and Doubt.
	Commit(ctx context.Context, g Generation) (Generation, error)
	// Sum is the SHA-256 of a disk, read again from the volume.
	Sum(ctx context.Context, dev string) ([sha256.Size]byte, error)
	io.Closer
}

// Offer is what a run brings.
type Offer struct {
	Run   uuid.UUID  `json:"run"`
	Epoch uint64     `json:"epoch"`
	Guest host.Guest `json:"guest"`
}

// Held is what the peer has, when a run begins.
type Held struct {
	// Generation is the last one that is whole; nil: none.
	Generation *Generation         `json:"generation,omitempty"`
	Disks      map[string]HeldDisk `json:"disks"` // by Disk.Dev
}

// HeldDisk is what the peer has of a disk.
type HeldDisk struct {
	Generation blockcopy.Generation `json:"generation,omitzero"`
	// Staged has arrived in this run and waits for Commit.
	Staged blockcopy.Generation `json:"staged,omitzero"`
	Fresh  bool                 `json:"fresh,omitempty"` // the volume reads as zeros
}

// Kept is a replica, as its keeper sees it.
type Kept struct {
	UUID uuid.UUID `json:"uuid"`
	Name string    `json:"name"`
	Peer string    `json:"peer"` // the host that it is of
	// Generation is the last one that is whole; nil: the first copy is not
	// complete.
	Generation *Generation  `json:"generation,omitempty"`
	Record     owner.Record `json:"record"`
}

// Age is how old the replica is at a moment by the clock of its source;
// negative: there is none.
func (k Kept) Age(now time.Time) time.Duration {
	if k.Generation == nil {
		return -1
	}
	return max(now.Sub(k.Generation.Taken), 0)
}
