package migrate

import (
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/relay"
	"github.com/xenhost/xenhost/xen"
)

// Report says what a move or a Resume did, also when it failed.
type Report struct {
	UUID uuid.UUID `json:"uuid"`
	Name string    `json:"name"`
	From string    `json:"from"`
	To   string    `json:"to"`
	Move uuid.UUID `json:"move,omitzero"` // the number of the move, as in the owner records

	// Way is how it ended: Forward is moved, Back and Lift is that the guest
	// is at From, Nothing is that there was nothing to do or that it is still
	// open (the error tells).
	Way handover.Way `json:"way"`
	Why string       `json:"why,omitempty"` // of a Resume: what the records said
	// Owner is the host that has the guest now, "" if that is still open.
	Owner string `json:"owner"`

	Passes []Pass `json:"passes,omitempty"`
	// Redials is how often the target was called again after a cut.
	Redials int `json:"redials,omitempty"`
	// Rounds is how often what the guest wrote meanwhile was copied while it ran.
	Rounds int `json:"rounds,omitempty"`
	// Sums are the SHA-256 of the disks, by Disk.Dev, equal on both hosts.
	Sums map[string]string `json:"sums,omitempty"`
	// Memory is what went from domain to domain in a live move.
	Memory relay.Stats `json:"memory,omitzero"`
	// Lost tells that a live move began well and the guest was then started
	// from its disk, which has all that it was told is written.
	Lost bool   `json:"lost,omitempty"`
	Hook string `json:"hook,omitempty"` // the error of Options.AfterStart
	// Ending is how the guest stopped at the source; "" if it did not run.
	Ending xen.Ending `json:"ending,omitempty"`
	// Downtime is from the moment in which the guest was asked to power off
	// until its domain ran on the other host, by the clock of whoever moved
	// it. The guest's boot is not in it.
	Downtime time.Duration `json:"downtime"`
	Duration time.Duration `json:"duration"`
}

// Pass is one copy of one disk.
type Pass struct {
	Dev  string        `json:"dev"`
	What handover.What `json:"what"`
	// Whole tells why all of the disk was read again after the guest stopped,
	// where the snapshot could not say what changed; usually "".
	Whole string `json:"whole,omitempty"`
	// Asked is how many bytes of hashes the target sent first, to tell what it
	// held from an earlier move.
	Asked    int64         `json:"asked,omitempty"`
	Duration time.Duration `json:"duration"`
	blockcopy.Stats
}
