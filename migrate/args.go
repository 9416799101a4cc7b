package migrate

import (
	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
	"github.com/xenhost/xenhost/migrate/handover"
	"github.com/xenhost/xenhost/migrate/replica"
	"github.com/xenhost/xenhost/xen/host"
)

// The verbs of the protocol. A name here is what the other side looks up; it
// refuses what it does not know.
const (
	verbHello = "hello"

	verbInfo      = "info"
	verbGuests    = "guests"
	verbGuest     = "guest"
	verbFind      = "find"
	verbProvision = "provision" // then the images, in the order of provisionArgs.Images
	verbStart     = "start"
	verbStop      = "stop"
	verbTerminate = "terminate"

	verbHold     = "hold" // the hold lasts as long as this call's stream
	verbObserve  = "hold.observe"
	verbClaim    = "hold.claim"
	verbPut      = "hold.put"
	verbUp       = "hold.start"
	verbDown     = "hold.stop"
	verbSum      = "hold.sum"
	verbSample   = "hold.sample"
	verbSnapshot = "hold.snapshot"
	verbChanged  = "hold.changed"
	verbSend     = "hold.send" // answered by bulk data, then the reply
	verbNext     = "hold.next"
	verbExtents  = "hold.extents"
	verbReread   = "hold.reread"
	verbEmit     = "hold.emit"   // bulk data both ways, then the reply
	verbAbsorb   = "hold.absorb" // likewise
	verbCompare  = "hold.compare"
	verbLearn    = "hold.learn"  // then bulk data
	verbHashes   = "hold.hashes" // answered by bulk data, then the reply
	verbRise     = "hold.rise"
	verbBury     = "hold.bury"
	verbFence    = "hold.fence"
	verbUnfence  = "hold.unfence"
	verbPutAside = "hold.put-aside"
	verbSurvey   = "hold.survey"
	verbReceive  = "hold.receive"
	verbAccept   = "hold.accept" // then bulk data
	verbDiscard  = "hold.discard"
	verbAdopt    = "hold.adopt"

	verbPromote = "replica.promote"
	verbKept    = "replica.kept"
	verbKeep    = "replica.keep" // kept as long as this call's stream
	verbBegin   = "replica.begin"
	verbPush    = "replica.push" // then the stream is a connection of blockcopy
	verbConfirm = "replica.commit"
	verbCopySum = "replica.sum"
)

type helloArgs struct {
	Version int    `json:"version"`
	Name    string `json:"name,omitempty"` // of the host that dials; empty: it is none
}

type guestArgs struct {
	UUID uuid.UUID `json:"uuid"`
}

type findArgs struct {
	Name string `json:"name"`
}

type provisionArgs struct {
	Guest   host.Guest `json:"guest"`
	Stopped bool       `json:"stopped,omitempty"`
	Images  []string   `json:"images,omitempty"` // Disk.Dev of each image that follows
}

type claimArgs struct {
	Token uint64 `json:"token"`
}

type promoteArgs struct {
	UUID    uuid.UUID              `json:"uuid"`
	Proof   replica.Proof          `json:"proof"`
	Options replica.PromoteOptions `json:"options"`
}

type diskArgs struct {
	Dev string `json:"dev"`
}

type hashesArgs struct {
	Dev string   `json:"dev"`
	Key [32]byte `json:"key"`
}

type sendArgs struct {
	From     handover.Reading   `json:"from"`
	Transfer blockcopy.Transfer `json:"transfer"`
}

type rereadArgs struct {
	Dev     string       `json:"dev"`
	Extents []lvm.Extent `json:"extents"`
}

type emitArgs struct {
	Suspended bool `json:"suspended,omitempty"`
}

type fenceArgs struct {
	Epoch uint64 `json:"epoch"`
}

type receiveArgs struct {
	Guest host.Guest `json:"guest"`
	Epoch uint64     `json:"epoch"`
}

type acceptArgs struct {
	Dev      string             `json:"dev"`
	Transfer blockcopy.Transfer `json:"transfer"`
}
