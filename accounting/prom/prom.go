// Package prom shows a host's ledger to Prometheus.
//
//	registry.MustRegister(prom.New(ledger, &prom.Options{Name: names}))
//
// The counters are those of the ledger: they go on over reboots of guests and of
// the host, moves and resets, so rate() and increase() are right over all of
// them. A scrape is one query of the ledger, whatever it has collected. Grafana's
// dashboard for it is in Dashboard.
package prom

import (
	"context"
	_ "embed"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/xenhost/xenhost/accounting"
)

//go:embed dashboard.json
var dashboard string

// Dashboard is the text of a Grafana dashboard of these metrics; it asks for its
// data source.
func Dashboard() string { return dashboard }

// Ledger is what New needs of accounting.Store.
type Ledger interface {
	Totals(ctx context.Context) ([]accounting.Row, error)
	Quotas(ctx context.Context) ([]accounting.Quota, error)
}

// Options of New; nil is right.
type Options struct {
	Name    func(uuid.UUID) string // for the label name; nil is none
	Timeout time.Duration          // of a scrape; 0 is 10 s
}

// Collector implements prometheus.Collector.
type Collector struct {
	ledger Ledger
	opts   Options
	net    *prometheus.Desc
	quota  *prometheus.Desc
	plain  map[accounting.Metric]series
}

// series is how one metric of the ledger is shown.
type series struct {
	desc  *prometheus.Desc
	unit  float64
	label []string
}

// New returns the collector of a ledger.
func New(l Ledger, opts *Options) *Collector {
	c := &Collector{ledger: l}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Name == nil {
		c.opts.Name = func(uuid.UUID) string { return "" }
	}
	if c.opts.Timeout == 0 {
		c.opts.Timeout = 10 * time.Second
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("xenhost_"+name, help, append([]string{"uuid", "name"}, labels...), nil)
	}
	c.net = desc("network_bytes_total", "IP bytes of a guest, from the IP header on; in is what it received.", "class", "ip", "direction")
	c.quota = desc("quota_bytes", "External traffic that a guest may have in a period, with what it bought.")
	wire := desc("wire_bytes_total", "Ethernet bytes of a guest that has rates.", "direction")
	bytes := desc("block_bytes_total", "Bytes that a guest read from and wrote to its disks.", "direction")
	ops := desc("block_operations_total", "Requests of a guest to its disks.", "direction")
	c.plain = map[accounting.Metric]series{
		accounting.WireIn:         {wire, 1, []string{"in"}},
		accounting.WireOut:        {wire, 1, []string{"out"}},
		accounting.DiskReadBytes:  {bytes, 1, []string{"read"}},
		accounting.DiskWriteBytes: {bytes, 1, []string{"write"}},
		accounting.DiskReadOps:    {ops, 1, []string{"read"}},
		accounting.DiskWriteOps:   {ops, 1, []string{"write"}},
		accounting.CPU:            {desc("cpu_seconds_total", "CPU time of a guest."), 1e-9, nil},
		accounting.Memory:         {desc("memory_byte_seconds_total", "Memory allocated to a guest, times seconds."), 1024, nil},
		accounting.Disk:           {desc("disk_byte_seconds_total", "Volumes allocated to a guest, times seconds."), 1024, nil},
		accounting.Running:        {desc("running_seconds_total", "Time that a guest's domain was there."), 1e-3, nil},
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	to <- c.net
	to <- c.quota
	for _, s := range c.plain {
		to <- s.desc
	}
}

// Collect implements prometheus.Collector. A ledger that can not be read fails
// the scrape: a gap in a graph is better than zeros.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), c.opts.Timeout)
	defer cancel()
	totals, err := c.ledger.Totals(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(c.net, err)
		return
	}
	quotas, err := c.ledger.Quotas(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(c.quota, err)
		return
	}
	for _, q := range quotas {
		to <- prometheus.MustNewConstMetric(c.quota, prometheus.GaugeValue, float64(q.Limit+q.TopUp), q.Guest.String(), c.opts.Name(q.Guest))
	}
	for _, r := range totals {
		if r.Guest != (uuid.UUID{}) {
			c.guest(to, r)
		}
	}
}

func (c *Collector) guest(to chan<- prometheus.Metric, r accounting.Row) {
	id, name := r.Guest.String(), c.opts.Name(r.Guest)
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		if v == 0 {
			return // most guests never use most classes; a thousand have twenty thousand of them
		}
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, append([]string{id, name}, labels...)...)
	}
	for class := range accounting.NumClasses {
		for _, version := range []int{4, 6} {
			for direction, word := range []string{"in", "out"} {
				m := accounting.Traffic(class, accounting.Direction(direction), version)
				counter(c.net, float64(r.Usage[m]), class.String(), map[int]string{4: "4", 6: "6"}[version], word)
			}
		}
	}
	for m, s := range c.plain {
		counter(s.desc, float64(r.Usage[m])*s.unit, s.label...)
	}
}
