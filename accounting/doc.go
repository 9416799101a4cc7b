// Package accounting keeps a ledger of what guests use, in which each byte
// stands once.
//
// # Words
//
// A source is something with counters: the nftables table of package meter, Xen
// itself, the volumes. A reading is all that one source said at one moment. The
// ledger folds readings into slots of 300 seconds UTC, a row for each guest and
// slot. Directions are the customer's: In is what a guest received, Out what it
// sent. A class says with whom: internal, peer, or external, which is the rest.
//
//	sources --Reading--> Fold --Row--> Store --> Statement, Quota, prom
//
// # What a byte is
//
// The network's metrics count IP packets as the bridge or the router sees them:
// from the IP header on, without the 14 bytes of Ethernet. A large send that the
// guest leaves for the network card to cut counts its headers once, so long
// transfers are 4 % below what passes on the wire. WireIn and WireOut are exact
// Ethernet bytes, of guests that have rates, and know no classes. A contract
// should say which of the two it means.
//
// # Exactly once
//
// Where a source's counters stood, and the rows that follow from it, are written
// in one transaction. A counter is the counter of one object, which has an
// epoch: a name that no other object ever has. So a domain that was restarted, a
// table that was made anew and a host that rebooted are told from a counter that
// ran on, and nothing is counted twice or negative, at whatever point the
// process is killed. What an object counted after its last reading is lost when
// the object goes: one interval at most while the ledger runs, and the rows of
// that time are flagged. A time in which nobody read is spread evenly over its
// slots, flagged Gap; its sum is right.
//
// # What it does not promise
//
//   - Counters that the guest can set back, as those of its disks by
//     reconnecting them, are right only for guests that do not do so. Those of
//     the network are kept by package meter where no guest reaches them.
//   - Shares of power are computed from CPU time and memory; see Power.
//   - Money is arithmetic here (ProRata), prices and taxes are the panel's.
package accounting
