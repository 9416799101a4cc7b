package meter

import (
	"context"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/shaping"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/stats"
)

// source is a name and a function.
type source struct {
	name string
	read func(context.Context) ([]accounting.Sample, error)
}

func (s source) Name() string                                          { return s.name }
func (s source) Read(ctx context.Context) ([]accounting.Sample, error) { return s.read(ctx) }

// epoch names a domain: the number that Xen gave it, in this boot.
func epoch(boot string, d xen.Domain) string { return boot + "/" + strconv.Itoa(d.ID) }

// Xen reads domains: CPU time, the time that they were there, their memory, and
// what they did with their disks. opts are those of stats.Read; nil is a dom0.
func Xen(lister xen.Lister, opts *stats.Options) accounting.Source {
	return source{"xen/1", func(ctx context.Context) ([]accounting.Sample, error) {
		now, err := Clock()
		if err != nil {
			return nil, err
		}
		pass, err := stats.Read(ctx, lister, opts)
		if err != nil {
			return nil, err
		}
		return xenSamples(now.Boot, pass), nil
	}}
}

func xenSamples(boot string, pass stats.Sample) []accounting.Sample {
	var out []accounting.Sample
	for _, d := range pass.Domains {
		if d.UUID == (uuid.UUID{}) {
			continue // dom0
		}
		e := epoch(boot, d.Domain)
		add := func(dev string, m accounting.Metric, v uint64) {
			out = append(out, accounting.Sample{Guest: d.UUID, Key: accounting.Key{Dev: dev, Metric: m}, Epoch: e, Value: v})
		}
		add("", accounting.CPU, uint64(max(d.CPUTime, 0)))
		add("", accounting.Running, 1000)
		add("", accounting.Memory, uint64(max(d.Memory, 0)>>10))
		for _, v := range d.Vbds {
			dev := strconv.Itoa(v.Number)
			add(dev, accounting.DiskReadBytes, v.ReadBytes)
			add(dev, accounting.DiskReadOps, v.ReadOps)
			add(dev, accounting.DiskWriteBytes, v.WriteBytes)
			add(dev, accounting.DiskWriteOps, v.WriteOps)
		}
	}
	return out
}

// Volume is what a guest has of the host's disks, whether it runs or not.
type Volume struct {
	Guest uuid.UUID
	Name  string // for ever the same one, as guests/web1
	Size  int64  // bytes
}

// Volumes reads how much disk guests have; list is the host's list of volumes or
// of definitions.
func Volumes(list func(context.Context) ([]Volume, error)) accounting.Source {
	return source{"volumes/1", func(ctx context.Context) ([]accounting.Sample, error) {
		all, err := list(ctx)
		var out []accounting.Sample
		for _, v := range all {
			key := accounting.Key{Dev: v.Name, Metric: accounting.Disk}
			out = append(out, accounting.Sample{Guest: v.Guest, Key: key, Epoch: "volume", Value: uint64(max(v.Size, 0) >> 10)})
		}
		return out, err
	}}
}

// Counters is what Wire needs of shaping.Manager.
type Counters interface {
	Counters(ctx context.Context) ([]shaping.Counter, error)
}

// Wire reads exact Ethernet bytes of guests that have rates, from the queues of
// tc: what they were sent, and what of theirs left through the uplink. A queue on
// a vif begins anew with its domain.
func Wire(rates Counters, lister xen.Lister) accounting.Source {
	return source{"wire/1", func(ctx context.Context) ([]accounting.Sample, error) {
		now, err := Clock()
		if err != nil {
			return nil, err
		}
		domains, err := lister.List(ctx)
		if err != nil {
			return nil, err
		}
		counters, err := rates.Counters(ctx)
		if err != nil {
			return nil, fmt.Errorf("tc: %w", err)
		}
		return wireSamples(now.Boot, domains, counters), nil
	}}
}

func wireSamples(boot string, domains []xen.Domain, counters []shaping.Counter) []accounting.Sample {
	byGuest := map[uuid.UUID]xen.Domain{}
	for _, d := range domains {
		byGuest[d.UUID] = d
	}
	var out []accounting.Sample
	for _, c := range counters {
		out = append(out, accounting.Sample{Guest: c.UUID, Key: accounting.Key{Metric: accounting.WireOut}, Epoch: boot, Value: c.Upload.Bytes})
		if d, ok := byGuest[c.UUID]; ok {
			out = append(out, accounting.Sample{Guest: c.UUID, Key: accounting.Key{Metric: accounting.WireIn}, Epoch: epoch(boot, d), Value: c.Download.Bytes})
		}
	}
	return out
}
