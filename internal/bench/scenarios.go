package main

// scenarios are all comparisons, in the order in which all runs them.
func scenarios() []scenario {
	return []scenario{
		{"blockcopy", "a volume through a pipe: full copy", "", benchBlockcopy},
		{"shaping", "rates of guests: limit all, again, change one", "root, iproute2", benchShaping},
		{"network", "port forwards: load, add one, remove one", "root, iptables", benchNetwork},
	}
}
