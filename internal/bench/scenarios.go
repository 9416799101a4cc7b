package main

// scenarios are all comparisons, in the order in which all runs them.
func scenarios() []scenario {
	return []scenario{
		{"blockcopy", "a volume through a pipe: full copy", "", benchBlockcopy},
		{"xen", "a read of xenstore, the statistics of all domains", "root in a dom0", benchXen},
		{"network", "port forwards: load, add one, remove one", "root, iptables", benchNetwork},
	}
}
