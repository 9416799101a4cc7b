package main

// scenarios are all comparisons, in the order in which all runs them.
func scenarios() []scenario {
	return []scenario{
		{"blockcopy", "a volume through a pipe: full copy", "", benchBlockcopy},
		{"network", "port forwards: load, add one, remove one, nothing new; new flows; lost ones", "root, iptables, nft; five minutes", benchNetwork},
	}
}
