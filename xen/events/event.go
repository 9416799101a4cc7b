package events

import (
	"fmt"
	"strconv"

	"github.com/xenhost/xenhost/xen"
)

// Kind is what happened.
type Kind string

// Of one domid, the kinds come in this order; Found, Created and Rebooted begin
// it, and Gone ends it.
const (
	Found    Kind = "found"     // was there when Watch began
	Created  Kind = "created"   // is new
	Rebooted Kind = "rebooted"  // is new, and the guest is one that went down by itself and was started again
	Down     Kind = "shut down" // has shut down and is still on the list, for its toolstack to act
	Crashed  Kind = "crashed"   // as Down, with reason crash or watchdog
	Gone     Kind = "gone"      // is no longer on the list
)

// Event is one thing that happened to one domain.
type Event struct {
	Kind Kind
	// Domain as it was seen; of one that is Gone, as it was seen last.
	Domain xen.Domain
	// Was is the domid that the same UUID had before, and left at most ten
	// minutes ago; 0: none that was seen. A restored guest has one too.
	Was int
	// Reason is why the domain shut down; of Rebooted, why the one before
	// did. Empty: it was destroyed, or nobody looked in time.
	Reason xen.Reason
}

// String reads as "web1: rebooted, domid 3 to 5 (reboot)".
func (e Event) String() string {
	name := e.Domain.Name
	if name == "" {
		name = e.Domain.UUID.String()
	} else if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		name = quoted // a name that is not ours can hold anything
	}
	domid := fmt.Sprintf("domid %d", e.Domain.ID)
	if e.Was != 0 {
		domid = fmt.Sprintf("domid %d to %d", e.Was, e.Domain.ID)
	}
	text := fmt.Sprintf("%s: %s, %s", name, e.Kind, domid)
	if e.Reason != "" {
		text += fmt.Sprintf(" (%s)", e.Reason)
	}
	return text
}
