package guard

import (
	"context"
	"net/netip"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
)

// State is what the guard of a host should be, or is. The zero State guards,
// and no guest may send.
type State struct {
	// Open: there are no rules of ours, or not as we write them. Apply with
	// Open removes the guard; Guests must be empty then.
	Open bool `json:"open,omitempty"`
	// LetUnknown lets vifs send that look like ours and belong to no guest of
	// Guests.
	LetUnknown bool    `json:"let_unknown,omitempty"`
	Guests     []Guest `json:"guests,omitempty"` // ordered by UUID
}

// Guest is what one guest may send.
type Guest struct {
	UUID  uuid.UUID `json:"uuid"`
	Ports []Port    `json:"ports,omitempty"`
}

// Port is what may be sent from one vif.
type Port struct {
	Vif       string       `json:"vif"` // name in dom0, at most 11 bytes
	MAC       network.MAC  `json:"mac"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Networks are whole IPv6 networks of 64 bits, as a customer gets one; those
	// that lead to a routed guest may be of either protocol and any size.
	Networks []netip.Prefix `json:"networks,omitempty"`
	// Routed: the vif is on no bridge, and what it sends ends in dom0.
	Routed bool `json:"routed,omitempty"`
}

// Of is the guard that follows from a guest's share of the network.
func Of(g network.Guest) Guest {
	out := Guest{UUID: g.UUID}
	for _, p := range g.Ports {
		out.Ports = append(out.Ports, Port{Vif: p.Vif, MAC: p.MAC, Addresses: p.Addresses, Networks: p.Networks, Routed: p.Routed})
	}
	return out
}

// Drops counts the frames that were dropped since the rules were loaded, by
// reason. The whole host in one: what one guest sends is seen by its own
// counters.
type Drops struct {
	Unknown   uint64 `json:"unknown"`   // from a vif like ours that belongs to no guest
	MAC       uint64 `json:"mac"`       // from another MAC than the port's
	Type      uint64 `json:"type"`      // neither ARP nor IP: VLAN tags, LLDP, spanning tree
	ARP       uint64 `json:"arp"`       // claims of another's MAC or address
	IPv4      uint64 `json:"ipv4"`      // from another's address
	IPv6      uint64 `json:"ipv6"`      // from another's address, or with headers that hide what it is
	Neighbour uint64 `json:"neighbour"` // advertisement or detection of another's IPv6 address
	DHCP      uint64 `json:"dhcp"`      // as a DHCP server
	Router    uint64 `json:"router"`    // as a router or multicast querier
}

// Manager keeps a host's guard: Linux and guardtest.Fake.
type Manager interface {
	// Read returns what is in force.
	Read(ctx context.Context) (State, error)
	// Apply makes the guard as want says, in one transaction, and reads it
	// back. Plan tells beforehand what it would do.
	Apply(ctx context.Context, want State) (network.Plan, error)
	// Set makes one guest's part as want says; other guests' parts stay as
	// they are. Where nothing is in force it loads the rules, with LetUnknown.
	Set(ctx context.Context, want Guest) error
	// Remove removes a guest's part; there being none is no error. What its
	// vifs send is then unknown.
	Remove(ctx context.Context, id uuid.UUID) error
	// Drops reads the counters.
	Drops(ctx context.Context) (Drops, error)
}
