package network

import (
	"context"
	"net/netip"
	"strings"

	"github.com/google/uuid"
)

// A renderer says which lines in the kernel each fact of a State needs. It is
// pure, and there are two: iptables (rules) and nft (elements of sets).
type renderer interface {
	// remark needs a fact that has no effect of its own in these tables, and is
	// kept there to be read again.
	remark(fact string) []need
	masquerade(m Masquerade) []need
	// hairpin lets guests inside of net reach each other by a public address.
	hairpin(net netip.Prefix) []need
	forward(t target) []need
	// routed lets packets of routed guests through.
	routed(f family) []need
}

// A target is a forward with what decides how it is written.
type target struct {
	Forward
	id    uuid.UUID
	link  string // where the guest's address is: a bridge, or the vif if it is routed
	own   bool   // it is the vif
	index int    // which of the guests that share it
	of    int    // and how many they are; 1 if it is not shared
}

func (t target) fact() string { return forwardFact(t.Forward, t.id) }

// A backend keeps lines in the kernel.
type backend interface {
	renderer
	// read lists all lines of ours.
	read(ctx context.Context) (lines, stamp, error)
	// says is the fact that a line tells, without its mark.
	says(p place, text string) (fact string, ok bool)
	// stamp is one number for all lines of ours: while it is the same, they are.
	stamp(ctx context.Context) (stamp, error)
	// write makes the lines before those after. Both may leave out lines that do
	// not change, as needs.exchange does. Each table changes in one step or not at all, and all
	// go back when one is refused.
	write(ctx context.Context, before, after lines) (written, error)
	// becomes is the stamp after writing, if nobody else wrote at the same time.
	becomes(was stamp, w written) stamp
}

// A stamp tells one set of lines from another.
type stamp uint64

// written is what a write did: how many transactions, and which lines.
type written struct {
	commits       int
	before, after lines
}

// ordered reports whether the order of the lines at a place matters. The rules
// of nft's small chains are written all at once, so it does there too.
func ordered(p place) bool {
	switch p.name {
	case dnatChain, snatChain, pinChn, masqChn:
		return true
	}
	return strings.HasPrefix(p.name, shareChain)
}
