package check_test

import (
	"fmt"

	"github.com/xenhost/xenhost/network/check"
)

func Example() {
	seen := check.Seen{Conntrack: 260000, ConntrackMax: 262144, Netback: true, CPUs: 2}
	for _, f := range check.Findings(seen) {
		fmt.Println(f)
	}
	// Output:
	// error conntrack-full: 260000 of 262144 connections (99 %); new ones are dropped, of all guests: sysctl -w net.netfilter.nf_conntrack_max=524288, and look for the guest that opens them (conntrack -L)
	// note netback-queues: a guest can use 2 queues on a vif; Xen's rate= holds for each of them: options xen_netback max_queues=1 in /etc/modprobe.d, or shape in dom0 instead of rate=
}
