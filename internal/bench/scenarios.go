package main

// scenarios are all comparisons, in the order in which all runs them.
func scenarios() []scenario {
	return []scenario{
		{"blockcopy", "a volume through a pipe: full copy", "", benchBlockcopy},
		{"guard", "anti-spoofing: cost of a frame, by number of guests", "root, nft", benchGuard},
		{"network", "port forwards: load, add one, remove one", "root, iptables", benchNetwork},
	}
}
