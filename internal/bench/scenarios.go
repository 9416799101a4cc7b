package main

// scenarios are all comparisons, in the order in which all runs them.
func scenarios(sizes sizes) []scenario {
	return []scenario{
		{"blockcopy", "volumes brought up to date: dd, zstd, ssh, rsync, desync", "rsync, zstd, openssh-server; six times -size of disk", sizes.benchBlockcopy},
		{"replica", "a guest's replica brought up to date: rsync, dd", "rsync; nine times -size of disk", sizes.benchReplica},
		{"xen", "a read of xenstore, the statistics of all domains", "root in a dom0", benchXen},
		{"guard", "anti-spoofing: cost of a frame, by number of guests", "root, nft", benchGuard},
		{"network", "port forwards: load, add one, remove one, nothing new; new flows; lost ones", "root, iptables, nft; five minutes", benchNetwork},
		{"shaping", "rates of guests: limit all, again, change one", "root, iproute2", benchShaping},
		{"accounting", "a reading of a thousand guests, its fold, a month's percentile", "root, nft, iptables, iproute2, vnstat, prometheus-node-exporter; five minutes", benchAccounting},
	}
}
