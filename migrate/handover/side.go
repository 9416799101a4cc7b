package handover

import (
	"context"
	"crypto/sha256"
	"io"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/relay"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/cpuid"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Side is one host of a hand-over while its guest is held there: Local, or
// what migrate.Remote opens on the other host. Close gives the hold back; so
// does the end of the process or of the connection.
type Side interface {
	Keeper
	Source
	Target
	io.Closer
}

// Keeper is what a host can do with the guest in either role.
type Keeper interface {
	// Host is the host's name.
	Host() string
	// Observe looks at everything that a decision may rest on.
	Observe(ctx context.Context) (Seen, error)
	// Claim says with which fencing token of a fleet's lock the guest is held;
	// host.ErrStale refuses one that is lower than one before.
	Claim(ctx context.Context, token uint64) error
	// Put writes the owner record durably, or owner.ErrTransition.
	Put(ctx context.Context, r owner.Record) error
	// Start starts the guest if the record and the volumes allow it; one that
	// runs is left as it is.
	Start(ctx context.Context) error
	// Stop ends the domain; there being none is xen.Clean.
	Stop(ctx context.Context) (xen.Ending, error)
	// Rise lets the guest's domain go on that a live move left paused; lost
	// tells that it could not and was destroyed. There being none is no error.
	Rise(ctx context.Context) (lost bool, err error)
	// Reread is the SHA-256 of some extents of a disk, read again from the
	// volume.
	Reread(ctx context.Context, dev string, extents []lvm.Extent) ([sha256.Size]byte, error)
	// Sample is host.Hold.Sample of a shared disk, when nobody writes it.
	Sample(ctx context.Context, dev string) ([sha256.Size]byte, error)
	// Sum is the SHA-256 of a disk, read again from the volume.
	Sum(ctx context.Context, dev string) ([sha256.Size]byte, error)
}

// Source is what the host that gives the guest away does.
type Source interface {
	// Snapshot makes a snapshot of each disk.
	Snapshot(ctx context.Context) error
	// Changed finds out what was written since Snapshot, for Send to read, and
	// returns how many bytes that is; its errors are those of
	// lvm.Content.Changed.
	Changed(ctx context.Context, dev string) (int64, error)
	// Compare makes ready for what the target says that it has of a disk, and
	// returns the key for its hashes; Learn takes them, and the next Send of the
	// disk leaves out what they say is there. See blockcopy.Index.
	Compare(ctx context.Context, dev string) (key [32]byte, err error)
	Learn(ctx context.Context, dev string, r io.Reader) error
	// Send writes a disk, or a part of it, to w; see blockcopy.Send.
	Send(ctx context.Context, from Reading, t blockcopy.Transfer, w io.Writer) (blockcopy.Stats, error)
	// Next makes another snapshot of each disk and removes the one before it;
	// what changed between the two is for Send to read. It returns how many
	// bytes that is, by Disk.Dev; -1: a snapshot can not tell.
	Next(ctx context.Context) (map[string]int64, error)
	// Extents is what Changed or Next found last.
	Extents(ctx context.Context, dev string) ([]lvm.Extent, error)
	// Emit sends the running domain's memory to wire, which leads to relay.Join,
	// and closes it. It may run beside other verbs. suspended sends a guest
	// that can not be sent while it runs.
	Emit(ctx context.Context, wire io.ReadWriteCloser, suspended bool) (relay.Stats, error)
	// Bury destroys the domain that was given away.
	Bury(ctx context.Context) error
	// Fence makes the volumes unusable here; snapshots are removed.
	Fence(ctx context.Context, epoch uint64) error
	// Unfence is the reverse; snapshots are removed too.
	Unfence(ctx context.Context) error
	// PutAside removes ports and forwards and puts the definition aside.
	PutAside(ctx context.Context) error
}

// Reading says what Send reads.
type Reading struct {
	Dev  string `json:"dev"`
	What What   `json:"what"`
}

// What is a part of a disk.
type What string

// The parts.
const (
	AsSnapshot What = "snapshot" // all of it, as it was at Snapshot
	AsChanged  What = "changed"  // the part that Changed found, as it is now
	AsIs       What = "all"      // all of it, as it is now
)

// Target is what the host that gets the guest does.
type Target interface {
	// Survey tells whether the guest would find room. It changes nothing.
	Survey(ctx context.Context, g host.Guest) (Survey, error)
	// Receive makes the volumes; fresh tells which read as zeros.
	Receive(ctx context.Context, g host.Guest, epoch uint64) (fresh map[string]bool, err error)
	// Hashes writes what the volume of a disk that Receive made holds to w; see
	// blockcopy.Hashes.
	Hashes(ctx context.Context, dev string, key [32]byte, w io.Writer) error
	// Accept writes what Send sent to the volume of a disk that Receive made.
	Accept(ctx context.Context, dev string, t blockcopy.Transfer, r io.Reader) (blockcopy.Stats, error)
	// Absorb makes a domain of what Emit sends; else as Emit.
	Absorb(ctx context.Context, wire io.ReadWriteCloser) (relay.Stats, error)
	// Discard takes back what Receive made.
	Discard(ctx context.Context) error
	// Adopt makes the received guest this host's own, after its commit.
	Adopt(ctx context.Context) error
}

// Seen is a guest as one host shows it at one moment.
type Seen struct {
	Host   string       `json:"host"`
	Record owner.Record `json:"record"`           // the zero Record: none
	Guest  *host.Guest  `json:"guest,omitempty"`  // what it should be; nil: no definition
	Domain *xen.Domain  `json:"domain,omitempty"` // nil: it does not run
	// Volumes are those of its disks that exist.
	Volumes []lvm.Volume `json:"volumes,omitempty"`
}

// Survey is what a host says before a move.
type Survey struct {
	// Kept are the volumes of the guest's disks that are there already, from
	// an earlier move; the others will be made.
	Kept []lvm.Volume `json:"kept,omitempty"`
	// Problems are the reasons, in words, why the host would refuse to get
	// the guest now, as far as it can tell.
	Problems []string `json:"problems,omitempty"`
	// Snapshots are the reasons why the host, as the source, could not make
	// snapshots of the guest's volumes.
	Snapshots []string `json:"snapshots,omitempty"`
	// Rounds are the reasons why it could not make those of a round, beside the
	// ones before.
	Rounds []string `json:"rounds,omitempty"`
	// Live are the reasons why the host could not send or get the guest's
	// memory.
	Live []string `json:"live,omitempty"`
	// Suspends tells that the guest can be sent only while it is suspended.
	Suspends bool `json:"suspends,omitempty"`
	// Xen is the host's version, as 4.17.7: memory goes to the same or a newer
	// one only.
	Xen string `json:"xen,omitempty"`
	// CPU is what the CPUs have to give to domains, and Sees what the guest's
	// domain was given; nil: not known, or it does not run.
	CPU  *cpuid.Host   `json:"cpu,omitempty"`
	Sees *cpuid.Policy `json:"sees,omitempty"`
	// MTU is the bytes of a frame that each of the guest's bridges takes.
	MTU map[string]int `json:"mtu,omitempty"`
	// Unchecked is what the host can not tell, in words.
	Unchecked []string `json:"unchecked,omitempty"`
}
