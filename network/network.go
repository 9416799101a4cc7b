package network

import (
	"context"
	"net/netip"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/internal/ether"
)

// MAC is an Ethernet address.
type MAC = ether.Addr

// State is what a host's network should be, or is, as far as it carries our
// mark. Read returns it normalised: sorted, prefixes masked.
type State struct {
	// Bonds, VLANs and VXLANs are interfaces that bridges can have as ports.
	Bonds       []Bond       `json:"bonds,omitempty"`
	VLANs       []VLAN       `json:"vlans,omitempty"`
	VXLANs      []VXLAN      `json:"vxlans,omitempty"`
	Bridges     []Bridge     `json:"bridges,omitempty"`
	Masquerades []Masquerade `json:"masquerades,omitempty"`
	Guests      []Guest      `json:"guests,omitempty"` // ordered by UUID
}

// Bridge is a Linux bridge that guests' vifs are plugged into.
type Bridge struct {
	Name string `json:"name"` // at most 15 bytes
	// Ports are host interfaces enslaved to it (an uplink, the crossover
	// cable); guests' vifs are not listed.
	Ports []string `json:"ports,omitempty"`
	// Addresses are dom0's own on it.
	Addresses []netip.Prefix `json:"addresses,omitempty"`
}

// Masquerade lets private guests reach the world (SNAT): what comes from Source
// and leaves through Out gets the address of Out, or As.
type Masquerade struct {
	Source netip.Prefix `json:"source"`
	Out    string       `json:"out"` // interface, as xenext
	// As is a fixed address of the host, for hosts with several; the zero Addr
	// is whichever Out has (MASQUERADE).
	As netip.Addr `json:"as,omitzero"`
}

// Guest is a domain's share of the host's network.
type Guest struct {
	UUID     uuid.UUID `json:"uuid"`
	Ports    []Port    `json:"ports,omitempty"`
	Forwards []Forward `json:"forwards,omitempty"`
}

// Port is a guest's place on a bridge. The vif itself is made by Xen when the
// domain starts; VifName gives the name for it.
type Port struct {
	Vif       string       `json:"vif"` // name in dom0
	Bridge    string       `json:"bridge"`
	MAC       MAC          `json:"mac"`
	Addresses []netip.Addr `json:"addresses,omitempty"` // that the guest may use
}

// Manager keeps a host's network: Linux and networktest.Fake.
type Manager interface {
	// Read returns what is there and carries our mark.
	Read(ctx context.Context) (State, error)
	// Apply makes the host's network as want says and reads it back. Only
	// what carries our mark is changed or removed; what stands in the way and
	// is not ours is ErrForeign. Plan tells beforehand what Apply would do.
	Apply(ctx context.Context, want State) (Plan, error)
	// Set makes one guest's part as want says; other guests' parts stay as
	// they are, whoever changes them at the same time.
	Set(ctx context.Context, want Guest) error
	// Remove removes a guest's part; there being none is no error.
	Remove(ctx context.Context, id uuid.UUID) error
}
