// Package stats reads what the domains of a host have used: CPU time, memory,
// and what went through their vifs and vbds, all in one pass.
//
//	xen0, err := privcmd.Open()            // or xl.New, with CPU time in tenths of a second
//	sample, err := stats.Read(ctx, xen0, nil)
//	for _, d := range sample.Domains { ... }
//
// A pass costs one list of the domains, one file for all vifs, and a few files
// a vbd; no command runs. The counters are those of dom0's backends:
//
//	/proc/net/dev                                         all vifs
//	/sys/bus/xen-backend/devices/vif-DOMID-N/net/         the name of a vif
//	/sys/bus/xen-backend/devices/vbd-DOMID-N/statistics/  a vbd
//
// Counters begin at 0 with each start of a domain, also after a reboot and a
// move, and with each attach of a device. Whoever bills adds up differences by
// UUID, and takes a counter that is smaller than the last one as new.
//
// What it does not see: devices whose backend is another domain or a process
// (qdisk), as a disk on a file can be. The CPU time that dom0 spends for a
// guest's I/O is dom0's.
package stats
