package island

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
)

// Island is the network of one guest.
type Island struct {
	UUID uuid.UUID `json:"uuid"` // the guest's
	// Links are its bridges, one for each of the guest's interfaces, in their
	// order; at most MaxLinks.
	Links []Link `json:"links"`
	// Out is the interface of the host that leads to the world, as xenext. Empty
	// is no way out.
	Out string `json:"out,omitempty"`
}

// Link is a bridge with the router on it.
type Link struct {
	// Gateways are the router's addresses on it, IPv4 alone, each with the
	// length of the network that it serves: what the guest has as its gateway.
	Gateways []netip.Prefix `json:"gateways,omitempty"`
	// Addresses are the guest's. The router knows a way to those of IPv4, also
	// where no gateway's network holds them.
	Addresses []netip.Addr `json:"addresses,omitempty"`
}

// MaxLinks is how many interfaces a guest on an island can have.
const MaxLinks = 10

// Manager keeps the islands of a host: Linux and islandtest.Fake.
type Manager interface {
	// Set makes a guest's island as want says. One that is so already is left
	// alone. fs.ErrNotExist: the host has no interface Out; network.ErrForeign:
	// something that is not ours has one of its names; network.ErrInvalid.
	Set(ctx context.Context, want Island) error
	// Remove removes all that there is of a guest's island; there being none is
	// no error.
	Remove(ctx context.Context, id uuid.UUID) error
	// List returns the guests of which there is an island, or a part of one, in
	// the order of their text.
	List(ctx context.Context) ([]uuid.UUID, error)
}

// The names of an island's parts, by the first seven digits of the UUID. Two
// guests can share them; the second one's Set is refused with network.ErrForeign.
//
// VifName is what the guest's vif must be called: not a name that the guard
// takes for a guest's on a bridge of all.
func VifName(id uuid.UUID, link int) string { return "cv" + short(id) + "." + strconv.Itoa(link) }

// BridgeName is the bridge that the vif belongs on.
func BridgeName(id uuid.UUID, link int) string { return "cb" + short(id) + "." + strconv.Itoa(link) }

func plugName(id uuid.UUID, link int) string { return "cg" + short(id) + "." + strconv.Itoa(link) }
func uplinkName(id uuid.UUID) string         { return "cu" + short(id) }

// RouterName is the network namespace of the router, as ip netns lists it.
func RouterName(id uuid.UUID) string { return routerPrefix + id.String() }

const routerPrefix = "xhisland-"

func short(id uuid.UUID) string { return id.String()[:7] } // so that Xen's 11 bytes for a vif hold two letters, a dot and a digit

var interfaceName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$`)

// Validate returns network.ErrInvalid for what no host takes.
func (i Island) Validate() error {
	if err := i.validate(); err != nil {
		return &Error{Op: "validate", Name: i.UUID.String(), Err: err}
	}
	return nil
}

func (i Island) validate() error {
	switch {
	case i.UUID == uuid.Nil:
		return fmt.Errorf("no UUID: %w", network.ErrInvalid)
	case len(i.Links) == 0 || len(i.Links) > MaxLinks:
		return fmt.Errorf("%d links, want 1 to %d: %w", len(i.Links), MaxLinks, network.ErrInvalid)
	case i.Out != "" && !interfaceName.MatchString(i.Out):
		return fmt.Errorf("interface name %q: %w", i.Out, network.ErrInvalid)
	}
	seen := map[netip.Addr]bool{}
	gateways := 0
	for _, l := range i.Links {
		for _, g := range l.Gateways {
			if a := g.Addr(); !g.IsValid() || !a.Is4() || !usable(a) || g.Bits() == 0 || seen[a] {
				return fmt.Errorf("gateway %v: %w", g, network.ErrInvalid)
			}
			seen[g.Addr()] = true
			gateways++
		}
	}
	for _, l := range i.Links {
		for _, a := range l.Addresses {
			if !usable(a) || a.Zone() != "" || seen[a.Unmap()] {
				return fmt.Errorf("address %v: %w", a, network.ErrInvalid)
			}
			seen[a.Unmap()] = true
		}
	}
	if i.Out != "" && gateways == 0 {
		return fmt.Errorf("a way out and no gateway: %w", network.ErrInvalid)
	}
	return nil
}

func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
