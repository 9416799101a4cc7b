package accounting

import (
	"encoding/json"
	"fmt"
)

// Metric is something that a guest uses. Stores keep metrics by number: new
// ones are added at the end.
type Metric uint8

// The network's metrics are bytes; see the package on what a byte is.
const (
	InternalIn4 Metric = iota // IPv4 from other guests and what else is the house's own
	InternalOut4
	InternalIn6 // IPv6
	InternalOut6
	PeerIn4 // from networks that cost nothing
	PeerOut4
	PeerIn6
	PeerOut6
	ExternalIn4 // from everywhere else
	ExternalOut4
	ExternalIn6
	ExternalOut6
	WireIn  // Ethernet bytes that the guest's limit let through
	WireOut // Ethernet bytes that left through the uplink
	CPU     // nanoseconds of CPU time
	DiskReadOps
	DiskReadBytes
	DiskWriteOps
	DiskWriteBytes
	Memory  // KiB of memory allocated, times seconds
	Disk    // KiB of volumes allocated, times seconds
	Running // milliseconds that the domain was there
	Energy  // millijoules, of a host's meter; guests' shares are computed, see Power
	NumMetrics
)

func names() [NumMetrics]string {
	return [NumMetrics]string{
		"internal_in4", "internal_out4", "internal_in6", "internal_out6",
		"peer_in4", "peer_out4", "peer_in6", "peer_out6",
		"external_in4", "external_out4", "external_in6", "external_out6",
		"wire_in", "wire_out", "cpu_ns",
		"disk_read_ops", "disk_read_bytes", "disk_write_ops", "disk_write_bytes",
		"memory_kib_s", "disk_kib_s", "running_ms", "energy_mj",
	}
}

// String returns the name with its unit, as cpu_ns. It is the name in JSON, CSV
// and in databases.
func (m Metric) String() string {
	if m >= NumMetrics {
		return fmt.Sprintf("metric%d", uint8(m))
	}
	return names()[m]
}

// ParseMetric is the reverse of String.
func ParseMetric(s string) (Metric, error) {
	for m, name := range names() {
		if name == s {
			return Metric(m), nil
		}
	}
	return 0, fmt.Errorf("metric %q: %w", s, ErrInvalid)
}

// Gauge tells whether sources say how much there is (KiB, and 1000 for a
// running domain) instead of how much it has been; the ledger multiplies it by
// the seconds until the next reading.
func (m Metric) Gauge() bool { return m == Memory || m == Disk || m == Running }

// Class is with whom a guest speaks.
type Class uint8

// The classes, in the order in which they are tried; the first that fits wins.
const (
	Internal Class = iota
	Peer
	External
	NumClasses
)

// String returns internal, peer or external.
func (c Class) String() string {
	switch c {
	case Internal:
		return "internal"
	case Peer:
		return "peer"
	case External:
		return "external"
	}
	return fmt.Sprintf("class%d", uint8(c))
}

// ParseClass is the reverse of String.
func ParseClass(s string) (Class, error) {
	for c := range NumClasses {
		if c.String() == s {
			return c, nil
		}
	}
	return 0, fmt.Errorf("class %q: %w", s, ErrInvalid)
}

// MarshalText writes the name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is ParseClass.
func (c *Class) UnmarshalText(text []byte) (err error) {
	*c, err = ParseClass(string(text))
	return err
}

// Direction is the customer's.
type Direction uint8

// In is what a guest receives, Out what it sends.
const (
	In Direction = iota
	Out
)

// Traffic returns the metric of a class, a direction and an IP version (4 or 6).
func Traffic(c Class, d Direction, version int) Metric {
	m := Metric(c)*4 + Metric(d)
	if version == 6 {
		m += 2
	}
	return m
}

// Usage is an amount of each metric.
type Usage [NumMetrics]int64

// Add adds what o has.
func (u *Usage) Add(o Usage) {
	for m := range u {
		u[m] += o[m]
	}
}

// Net is the traffic of a class in a direction, IPv4 and IPv6.
func (u Usage) Net(c Class, d Direction) int64 { return u[Traffic(c, d, 4)] + u[Traffic(c, d, 6)] }

// MarshalJSON writes what is not 0, by name.
func (u Usage) MarshalJSON() ([]byte, error) {
	all := map[string]int64{}
	for m, v := range u {
		if v != 0 {
			all[Metric(m).String()] = v
		}
	}
	return json.Marshal(all)
}

// UnmarshalJSON refuses metrics that it does not know.
func (u *Usage) UnmarshalJSON(text []byte) error {
	var all map[string]int64
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	*u = Usage{}
	for name, v := range all {
		m, err := ParseMetric(name)
		if err != nil {
			return err
		}
		u[m] = v
	}
	return nil
}
