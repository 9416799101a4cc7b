package host

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/shaping"
)

// Plan is what a guest is sold. What is left zero stays as it is.
type Plan struct {
	Memory int64           `json:"memory,omitempty"`
	VCPUs  int             `json:"vcpus,omitempty"`
	Weight int             `json:"weight,omitempty"`
	Cap    *int            `json:"cap,omitempty"` // 0 is no limit
	Rates  *shaping.Policy `json:"rates,omitempty"`
	// Disks gives sizes in bytes by Disk.Dev; a disk never becomes smaller.
	Disks map[string]int64 `json:"disks,omitempty"`
}

// PlanOptions changes how ChangePlan works; nil is without a restart.
type PlanOptions struct {
	// Restart stops and starts the guest if something of the plan can not be had
	// while it runs.
	Restart bool
}

// When says since when a change is in force.
type When string

// A change is Live, or it is Staged: in force when the guest next reboots or
// starts, or the guest was Restarted for it.
const (
	Live      When = "live"
	Staged    When = "staged"
	Restarted When = "restarted"
)

// Change is one thing that a plan changed.
type Change struct {
	What string `json:"what"` // memory, vcpus, share, rates, or disk and its name
	From string `json:"from"`
	To   string `json:"to"`
	When When   `json:"when"`
}

// ChangePlan gives a guest another plan, and says of each thing that changed
// since when it is in force. Memory and vCPUs change while the guest runs as far
// as it was started to go (Guest.MaxMemory, Guest.MaxVCPUs) and as it answers;
// its share of the CPUs, its rates and a growing disk do so always. The rest is
// staged, or opts.Restart has it now.
//
// A failure leaves everything as it was, but for disks that have grown. The same
// plan again changes nothing. xen.ErrNoMemory and lvm.ErrNoSpace: the host has not
// got so much that is not promised; ErrInvalid: a disk would shrink.
func (h *Host) ChangePlan(ctx context.Context, id uuid.UUID, p Plan, opts *PlanOptions) ([]Change, error) {
	l, err := h.Hold(id)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	changes, err := l.changePlan(ctx, p, opts != nil && opts.Restart)
	if err != nil {
		return nil, &Error{Op: "change plan of", Name: l.name(), Err: err}
	}
	for _, c := range changes {
		h.log.Info("plan", "guest", l.name(), "uuid", id, "what", c.What, "from", c.From, "to", c.To, "when", c.When)
	}
	return changes, nil
}

// with returns the guest as the plan has it.
func (p Plan) with(g Guest) (Guest, error) {
	if p.Memory != 0 {
		g.Memory = p.Memory
	}
	if p.VCPUs != 0 {
		g.VCPUs = p.VCPUs
	}
	if g.MaxMemory != 0 {
		g.MaxMemory = max(g.MaxMemory, g.Memory)
	}
	if g.MaxVCPUs != 0 {
		g.MaxVCPUs = max(g.MaxVCPUs, g.VCPUs)
	}
	if p.Weight != 0 {
		g.Weight = p.Weight
	}
	if p.Cap != nil {
		g.Cap = *p.Cap
	}
	if p.Rates != nil {
		g.Rates = *p.Rates
	}
	g.Disks = slices.Clone(g.Disks)
	for _, dev := range slices.Sorted(maps.Keys(p.Disks)) {
		i := slices.IndexFunc(g.Disks, func(d Disk) bool { return d.Dev == dev })
		if i < 0 {
			return g, fmt.Errorf("%w: disk %s", fs.ErrNotExist, dev)
		}
		// A size that was rounded up to whole extents is not to shrink.
		if size := p.Disks[dev]; size > g.Disks[i].Size {
			g.Disks[i].Size = size
		} else if size+maxExtent <= g.Disks[i].Size {
			return g, fmt.Errorf("%w: disk %s has %d bytes and can not shrink to %d", ErrInvalid, dev, g.Disks[i].Size, size)
		}
	}
	return g, g.Validate()
}

// maxExtent is more than any size grows by when it is rounded up, unless a volume
// group has extents that nobody uses.
const maxExtent = 64 << 20
