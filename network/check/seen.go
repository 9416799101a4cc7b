package check

import "github.com/xenhost/xenhost/network"

// Seen is a host as Read found it. The zero value of a field is "not there" or
// "not known", and gives no finding.
type Seen struct {
	// Want is what the host is to do; nil if that is not known.
	Want *network.State `json:"want,omitempty"`
	// Dual: this host passes IPv6 on for guests. Read knows it by their forwards.
	Dual bool `json:"dual,omitempty"`

	// Sysctls by their name below net, as "ipv4.ip_forward"; br_netfilter's
	// are "bridge.bridge-nf-call-iptables".
	Sysctls map[string]string `json:"sysctls,omitempty"`
	// Interfaces by name.
	Interfaces map[string]Interface `json:"interfaces,omitempty"`

	// Variant of the command iptables: "nf_tables" or "legacy".
	Variant string `json:"variant,omitempty"`
	// LegacyTables that the kernel has, as "nat".
	LegacyTables []string `json:"legacy_tables,omitempty"`
	// NFTTables as "ip nat", those of iptables-nft included.
	NFTTables []string `json:"nft_tables,omitempty"`
	// ForwardPolicy of the chain FORWARD in the table filter: "ACCEPT", "DROP".
	ForwardPolicy string `json:"forward_policy,omitempty"`

	// Conntrack counts connections that are tracked, and how many can be.
	Conntrack, ConntrackMax int
	// NetbackQueues a guest can have (module parameter max_queues of
	// xen_netback); 0 is one for each processor of dom0.
	NetbackQueues int `json:"netback_queues,omitempty"`
	// Netback: the module is loaded.
	Netback bool `json:"netback,omitempty"`
	// CPUs of dom0.
	CPUs int `json:"cpus,omitempty"`
	// Rates: guests are held to a rate by Xen (rate= of xl.cfg).
	Rates bool `json:"rates,omitempty"`
}

// Interface is one of dom0's.
type Interface struct {
	Bridge      string `json:"bridge,omitempty"` // that it is a port of
	IsBridge    bool   `json:"is_bridge,omitempty"`
	STP         bool   `json:"stp,omitempty"`
	ForwardWait int    `json:"forward_wait,omitempty"` // of a bridge, in hundredths of a second
	Up          bool   `json:"up,omitempty"`
	MTU         int    `json:"mtu,omitempty"`
}
