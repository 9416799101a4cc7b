package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/xenhost/xenhost/xen"
)

// planning is a change of plan under way.
type planning struct {
	*Hold
	old, now Guest
	domain   *xen.Domain // nil: it does not run
	limits   xen.Spec    // of the domain: how far it can go
	changes  []Change
	back     []func(context.Context) error // what takes back, the last first
}

func (l *Hold) changePlan(ctx context.Context, plan Plan, restart bool) ([]Change, error) {
	old, err := l.ours()
	if err != nil {
		return nil, err
	}
	p := &planning{Hold: l, old: old}
	if p.now, err = plan.with(old); err != nil {
		return nil, err
	}
	claim, err := l.h.admit(ctx, p.now, "change plan", false, nil)
	if err != nil {
		return nil, err
	}
	defer claim.Release()
	if err := p.look(ctx); err != nil {
		return nil, err
	}
	for _, do := range []func(context.Context) error{p.rates, p.share, p.memory, p.vcpus, p.stage, p.write, p.grow} {
		if err = do(ctx); err != nil {
			break
		}
	}
	if err == nil && restart && p.domain != nil && slices.ContainsFunc(p.changes, func(c Change) bool { return c.When == Staged }) {
		err = p.restart(ctx)
	}
	if err == nil {
		return p.changes, nil
	}
	// Taking back has time of its own: ctx may be what ended it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
	defer cancel()
	for _, undo := range slices.Backward(p.back) {
		err = errors.Join(err, undo(ctx))
	}
	return nil, err
}

// look finds what runs and how far it can go.
func (p *planning) look(ctx context.Context) (err error) {
	if p.domain, err = p.Domain(ctx); err != nil || p.domain == nil {
		return err
	}
	p.limits = p.old.Spec(p.old.Devices()).WithDefaults()
	if c, ok := p.h.domains.(xen.Configurer); ok {
		is, err := c.Config(ctx, p.id)
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		if err != nil {
			return err
		}
		p.limits.MaxMemory, p.limits.MaxVCPUs = is.MaxMemory, is.MaxVCPUs
	}
	return nil
}

func (p *planning) changed(what string, from, to any, live bool) {
	c := Change{What: what, From: fmt.Sprint(from), To: fmt.Sprint(to), When: Staged}
	if live {
		c.When = Live
	}
	p.changes = append(p.changes, c)
}

func (p *planning) rates(ctx context.Context) error {
	if p.now.Rates == p.old.Rates {
		return nil
	}
	p.back = append(p.back, func(ctx context.Context) error { return p.h.shape(ctx, p.old) })
	err := p.h.shape(ctx, p.now)
	p.changed("rates", fmt.Sprintf("%+v", p.old.Rates), fmt.Sprintf("%+v", p.now.Rates), p.domain != nil && p.h.shaping != nil)
	return err
}

// try changes something of the running domain: by do, with undo to take it back.
// A guest that does not answer, and a driver that can not, leave it to the next
// start.
func (p *planning) try(ctx context.Context, do, undo func(context.Context) error) (live bool, err error) {
	if p.domain == nil || p.domain.State != xen.Running {
		return false, nil
	}
	switch err := do(ctx); {
	case errors.Is(err, errors.ErrUnsupported):
		return false, nil
	case errors.Is(err, xen.ErrNoAnswer): // the request stands: it is withdrawn
		if err := undo(ctx); err != nil && !errors.Is(err, xen.ErrNoAnswer) {
			return false, err
		}
		return false, nil
	default:
		p.back = append(p.back, undo)
		return err == nil, err
	}
}

func (p *planning) share(ctx context.Context) error {
	from, to := shareOf(p.old), shareOf(p.now)
	if from == to {
		return nil
	}
	s, ok := p.h.domains.(xen.Scheduler)
	live := false
	if ok {
		var err error
		live, err = p.try(ctx, func(ctx context.Context) error { return s.SetShare(ctx, p.id, to) },
			func(ctx context.Context) error { return s.SetShare(ctx, p.id, from) })
		if err != nil {
			return err
		}
	}
	p.changed("share", fmt.Sprintf("weight %d cap %d", from.Weight, from.Cap), fmt.Sprintf("weight %d cap %d", to.Weight, to.Cap), live)
	return nil
}

func shareOf(g Guest) xen.Share {
	s := g.Spec(g.Devices()).WithDefaults()
	return xen.Share{Weight: s.Weight, Cap: s.Cap}
}

func (p *planning) memory(ctx context.Context) error {
	if p.old.Memory == p.now.Memory {
		return nil
	}
	r, ok := p.h.domains.(xen.Resizer)
	live := false
	if ok && p.now.Memory <= p.limits.MaxMemory {
		var err error
		live, err = p.try(ctx, func(ctx context.Context) error { return r.SetMemory(ctx, p.id, p.now.Memory) },
			func(ctx context.Context) error { return r.SetMemory(ctx, p.id, p.old.Memory) })
		if err != nil {
			return err
		}
	}
	p.changed("memory", p.old.Memory, p.now.Memory, live)
	return nil
}

func (p *planning) vcpus(ctx context.Context) error {
	if p.old.VCPUs == p.now.VCPUs {
		return nil
	}
	r, ok := p.h.domains.(xen.Resizer)
	live := false
	if ok && p.now.VCPUs <= p.limits.MaxVCPUs {
		var err error
		live, err = p.try(ctx, func(ctx context.Context) error { return r.SetVCPUs(ctx, p.id, p.now.VCPUs) },
			func(ctx context.Context) error { return r.SetVCPUs(ctx, p.id, p.old.VCPUs) })
		if err != nil {
			return err
		}
	}
	p.changed("vcpus", strconv.Itoa(p.old.VCPUs), strconv.Itoa(p.now.VCPUs), live)
	return nil
}

// stage tells the toolstack what the domain is after its next reboot.
func (p *planning) stage(ctx context.Context) error {
	c, ok := p.h.domains.(xen.Configurer)
	if !ok || p.domain == nil || !slices.ContainsFunc(p.changes, func(c Change) bool { return c.What != "rates" }) {
		return nil
	}
	paths, err := p.h.activate(ctx, p.now)
	if err != nil {
		return err
	}
	err = c.UpdateConfig(ctx, p.now.Spec(paths))
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	p.back = append(p.back, func(ctx context.Context) error { return c.UpdateConfig(ctx, p.old.Spec(paths)) })
	return err
}

// write keeps the plan; sizes of disks are those that they have.
func (p *planning) write(context.Context) error {
	p.back = append(p.back, func(context.Context) error { return p.h.guests.put(p.old, own) })
	now := p.now
	now.Disks = p.old.Disks
	return p.h.guests.put(now, own)
}

// grow is last, because no disk shrinks again.
func (p *planning) grow(ctx context.Context) error {
	for i, d := range p.now.Disks {
		from := p.old.Disks[i].Size
		if d.Size <= from {
			continue
		}
		v, err := p.h.volumes.Grow(ctx, d.Volume, d.Size)
		if err != nil {
			return err
		}
		p.now.Disks[i].Size = v.Size
		p.old.Disks = slices.Clone(p.old.Disks)
		p.old.Disks[i].Size = v.Size // even if the rest is taken back
		p.changed("disk "+d.Dev, from, v.Size, p.domain != nil)
	}
	return p.h.guests.put(p.now, own)
}

// restart has the guest start with what was staged. If it does not, it starts
// with what it was.
func (p *planning) restart(ctx context.Context) error {
	if _, err := p.Stop(ctx); err != nil {
		return err
	}
	p.back = []func(context.Context) error{ // nothing of the domain is there to take back
		func(ctx context.Context) error {
			_, err := p.start(ctx)
			return err
		},
		func(ctx context.Context) error { return p.h.shape(ctx, p.old) },
		func(context.Context) error { return p.h.guests.put(p.old, own) },
	}
	if _, err := p.start(ctx); err != nil {
		return err
	}
	for i := range p.changes {
		if p.changes[i].When == Staged {
			p.changes[i].When = Restarted
		}
	}
	return nil
}
