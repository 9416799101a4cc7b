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

// Port is a guest's place on a bridge, or a link of its own to this host. The
// vif itself is made by Xen when the domain starts; VifName gives the name for
// it.
type Port struct {
	Vif       string       `json:"vif"`              // name in dom0
	Bridge    string       `json:"bridge,omitempty"` // empty if it is routed
	MAC       MAC          `json:"mac"`
	Addresses []netip.Addr `json:"addresses,omitempty"` // that the guest may use

	// Routed: the vif is on no bridge. Dom0 is the guest's router, RouterV4 and
	// RouterV6, and passes on what is for Addresses and Networks:
	//
	//	ip address add 169.254.0.1/32 dev VIF; ip address add fe80::1/64 dev VIF
	//	ip route add 203.0.113.10 dev VIF proto 86
	Routed bool `json:"routed,omitempty"`
	// Networks lead to a routed guest whole, by way of the first of its
	// Addresses of the same kind, which must be there:
	//
	//	ip route add 2001:db8:7::/64 via 2001:db8::10 dev VIF proto 86
	Networks []netip.Prefix `json:"networks,omitempty"`
	// Uplink is the interface on whose network dom0 answers for the Addresses of
	// a routed guest, because its neighbours take them for their own network's.
	// Empty is nowhere: the addresses are routed to this host.
	//
	//	ip neigh add proxy 203.0.113.10 dev xenext
	Uplink string `json:"uplink,omitempty"`
}

// The addresses of dom0 on the vif of each routed guest: its default routes.
//
//	ip route add default via 169.254.0.1 dev eth0 onlink
//	ip -6 route add default via fe80::1 dev eth0
const (
	RouterV4 = "169.254.0.1"
	RouterV6 = "fe80::1"
)

// Manager keeps a host's network: Linux and networktest.Fake.
type Manager interface {
	// Read returns what is there and carries our mark.
	Read(ctx context.Context) (State, error)
	// Recorded returns what was asked for and is in the tables, also where links
	// are not so: it tells whose a vif is that has just appeared.
	Recorded(ctx context.Context) (State, error)
	// Apply makes the host's network as want says and reads it back. Only
	// what carries our mark is changed or removed; what stands in the way and
	// is not ours is ErrForeign. Diff tells beforehand what Apply would do.
	Apply(ctx context.Context, want State) (Plan, error)
	// Set makes one guest's part as want says; other guests' parts stay as
	// they are, whoever changes them at the same time.
	Set(ctx context.Context, want Guest) error
	// Remove removes a guest's part; there being none is no error.
	Remove(ctx context.Context, id uuid.UUID) error
}
