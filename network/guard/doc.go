// Package guard keeps guests from using what is not theirs, on a bridge or
// routed: each port sends with its own MAC address and its own addresses, and plays neither
// router nor DHCP server. Other guests, dom0 and the world outside are
// protected alike, for ARP, IPv4 and IPv6.
//
// # How it goes
//
// The whole host at boot, before any domain is started, and then one guest
// before its domain is created:
//
//	g := guard.New(nil)
//	plan, err := g.Apply(ctx, guard.State{Guests: all})
//	err = g.Set(ctx, guard.Of(guest)) // guest is a network.Guest
//	err = g.Remove(ctx, guest.UUID)   // after the domain is gone
//
// Rules name a vif by its name, which network.VifName knows before Xen makes
// it. So they are in force before the vif's first frame, and they hold when
// the guest restarts and gets another domid.
//
// # What a port may send
//
//   - frames from its own MAC, of the types ARP, IPv4 and IPv6, without a VLAN
//     tag;
//   - ARP requests and replies that carry its own MAC and one of its IPv4
//     addresses, and probes for one of them;
//   - IPv4 from its addresses, and the questions of a DHCP client;
//   - IPv6 from its addresses, its networks, and the link-local address that
//     follows from its MAC (EUI-64); neighbour advertisements and duplicate
//     address detection for these alone.
//
// It never sends as a DHCP server of either protocol, as a router
// (advertisements, redirects) or as a multicast querier. A link-local address
// that a guest makes up (RFC 7217) must be listed among its Addresses.
//
// The same holds for the port that the device model of an HVM guest makes
// beside it, whose name is the vif's and "-emu".
//
// A vif whose name looks like ours (network.VifName: x, two hexadecimal digits,
// more) and that belongs to no guest of the last Apply or Set may send nothing.
// Until the first Apply such vifs are let through, since a Set does not know
// the other guests of the host; State.LetUnknown tells.
//
// # What is ours
//
// The table bridge xenhost_guard, and those of the families inet and arp as
// long as there are routed guests; and nothing else:
//
//	nft list table bridge xenhost_guard
//
// Their rules are the same on every host, however many guests it has: a frame
// costs a few lookups in hashed sets. Each way to be dropped has a counter;
// Drops reads them. Rules that differ from what we wrote, by whose hand ever,
// are found by Read (State.Open) and put right by the next Apply or Set.
//
// All tables change at once or not at all. It needs nft 1.0.6 or newer
// and a kernel with nf_tables in the bridge family (5.6 or newer).
//
// # What it does not promise
//
//   - What a capture in dom0 shows of a routed guest: tcpdump sits before all
//     rules. Frames of a routed guest that are neither ARP nor IP need no rule:
//     nothing in dom0 takes them in.
//   - Frames that a guest receives.
//   - Guests that send for others (routers, VPN gateways): leave them out of
//     the guard, with a vif whose name does not look like ours.
//   - LLDP and other frames to 01:80:c2:00:00:0x that a bridge never passes on:
//     they end in dom0 without a rule having seen them, as on any Linux bridge.
package guard
