// Package meter reads what guests use from the host that they run on.
//
//	network := meter.New(&meter.Options{Classes: meter.Classes{Internal: ..., Peer: ...}})
//	recorder := &accounting.Recorder{Store: ledger, Clock: meter.Clock, Sources: []accounting.Source{
//		network.Source(ports),   // nftables: traffic by class, IP version and direction
//		meter.Xen(lister, nil),  // CPU time, disks, memory
//		meter.Wire(shaping.New(nil), lister), // tc: exact Ethernet bytes of guests that have rates
//	}}
//	err := recorder.Run(ctx)
//
// # Traffic
//
// The tables bridge and inet xenhost_meter count by the name of the vif, whether
// it exists or not. A guest that reconnects its vif sets the counters of the
// interface back, not these; nor do its reboots. Bridged frames pass the first
// table, packets of routed vifs the second.
//
//	nft list set bridge xenhost_meter external_out4
//
// What a guest sends is classed by the destination, before any translation; what
// it receives by the source. Frames that the guard drops are not counted, as it
// comes first. Only IP is counted, from its header on.
//
// A reading is one dump of each set by netlink, and no command. Only when vifs
// come or go, or somebody removed the tables, nft runs.
//
// # Quotas
//
// SetLimits gives vifs an nftables quota: when it is used up, the guest's
// external traffic is dropped by the kernel, at the byte, whether this process
// runs or not.
//
// # What it does not promise
//
//   - Traffic that passes in the moment between "nft flush ruleset" and the next
//     reading. The rows of that time are flagged.
//   - Traffic of a vif before the first reading or Sync that knows of it.
//   - Disk counters of a guest that reconnects its disks to set them back.
package meter
