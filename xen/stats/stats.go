package stats

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/xenhost/xenhost/xen"
)

// Sample is one pass over a host.
type Sample struct {
	Time    time.Time `json:"time"` // when the domains were listed
	Domains []Domain  `json:"domains"`
}

// Domain is what one domain has used since its start.
type Domain struct {
	xen.Domain
	Vifs []Vif `json:"vifs,omitempty"` // by Index
	Vbds []Vbd `json:"vbds,omitempty"` // by Number
}

// Vif is the traffic of a vif, from the customer's side: what the guest sent is
// upload, although dom0 received it.
type Vif struct {
	Index           int    `json:"index"` // 0 is the guest's first
	Name            string `json:"name"`  // of the interface in dom0; empty: it has none yet
	UploadBytes     uint64 `json:"upload_bytes"`
	UploadPackets   uint64 `json:"upload_packets"`
	DownloadBytes   uint64 `json:"download_bytes"`
	DownloadPackets uint64 `json:"download_packets"`
}

// Vbd is what a guest did with a disk.
type Vbd struct {
	Number     int    `json:"number"` // of the device as the guest sees it: 51712 is xvda; see Dev
	ReadBytes  uint64 `json:"read_bytes"`
	ReadOps    uint64 `json:"read_ops"`
	WriteBytes uint64 `json:"write_bytes"`
	WriteOps   uint64 `json:"write_ops"`
	Flushes    uint64 `json:"flushes"`
}

// Dev returns the name that Linux gives the disk, as xvda, or "" of a number
// that has another form.
func (v Vbd) Dev() string {
	if v.Number>>8 != 202 || v.Number&15 != 0 {
		return ""
	}
	return "xvd" + string(rune('a'+v.Number>>4&15))
}

// Options of Read; nil is right for a dom0.
type Options struct {
	Root string // before /proc and /sys; "" is none
}

// Read makes a pass. Of a domain that comes or goes meanwhile, some devices may
// be missing; of one that is in the list, each is whole. Dom0 is not in it.
func Read(ctx context.Context, lister xen.Lister, opts *Options) (Sample, error) {
	root := ""
	if opts != nil {
		root = opts.Root
	}
	domains, err := lister.List(ctx)
	if err != nil {
		return Sample{}, err
	}
	s := Sample{Time: time.Now(), Domains: make([]Domain, len(domains))}
	byID := make(map[int]*Domain, len(domains))
	for i, d := range domains {
		s.Domains[i].Domain = d
		byID[d.ID] = &s.Domains[i]
	}
	if err := readDevices(ctx, root, byID); err != nil {
		return Sample{}, fmt.Errorf("stats: %w", err)
	}
	for i := range s.Domains {
		slices.SortFunc(s.Domains[i].Vifs, func(a, b Vif) int { return cmp.Compare(a.Index, b.Index) })
		slices.SortFunc(s.Domains[i].Vbds, func(a, b Vbd) int { return cmp.Compare(a.Number, b.Number) })
	}
	return s, nil
}
