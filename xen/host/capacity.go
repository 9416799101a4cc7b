package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/host/capacity"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// Need is what the guest takes of a host.
func (g Guest) Need() capacity.Need {
	n := capacity.Need{Memory: g.Spec(g.Devices()).Need()}
	for _, d := range g.Disks {
		n.Volumes = append(n.Volumes, capacity.Volume{ID: d.Volume, Size: d.Size, Pool: d.Pool})
	}
	return n
}

// Capacity says what the host has left, with everything taken off that it has
// promised: see package capacity. It waits for operations that are just asking.
func (h *Host) Capacity(ctx context.Context) (capacity.Host, error) {
	desk, err := h.claims.Lock(ctx)
	if err != nil {
		return capacity.Host{}, err
	}
	defer desk.Unlock()
	v, err := h.view(ctx, desk)
	return v.Host, err
}

// admit claims what a guest will need, before any of it is taken; what it was
// promised before counts for it. A move may use the headroom that is kept for
// it. keep is called once there is room and before anybody else can ask; its
// error takes the claim back.
func (h *Host) admit(ctx context.Context, g Guest, op string, move bool, keep func() error) (*capacity.Held, error) {
	desk, err := h.claims.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer desk.Unlock()
	need := g.Need()
	for again := 0; ; again++ {
		now, err := h.view(ctx, desk)
		if err != nil {
			return nil, err
		}
		ask := need
		ask.Memory = max(0, need.Memory-now.promised[g.UUID].Memory)
		take := now.Sell
		if move {
			take = now.Receive
		}
		if _, err = take(ask); err == nil {
			break
		}
		if now.settled || again == 10 { // what came or went meanwhile was counted twice
			return nil, err
		}
	}
	held, err := desk.Make(capacity.Claim{UUID: g.UUID, Name: g.Name, Op: op, Need: need})
	if err == nil && keep != nil {
		if err = keep(); err != nil {
			held.Release()
		}
	}
	return held, err
}

// view is a picture of the host, and what it was made of.
type view struct {
	capacity.Host
	promised map[uuid.UUID]promise
	settled  bool // nothing came or went while it was taken
}

// promise is what a guest may count on.
type promise struct {
	capacity.Guest
	memory int64 // of that, what Xen shows as the domain's
	making bool  // its volumes may not be there yet
}

// view takes a picture. It looks at domains and volumes before and after it
// looks at what is free: what came or went between counts as not being there and
// as taking room, both.
func (h *Host) view(ctx context.Context, desk *capacity.Desk) (v view, err error) {
	v.Host = capacity.Host{Name: h.name, Headroom: h.headroom}
	if v.promised, err = h.promised(desk); err != nil {
		return v, err
	}
	domains, volumes, err := h.present(ctx)
	if err != nil {
		return v, err
	}
	if v.Groups, err = h.volumes.Groups(ctx); err != nil {
		return v, err
	}
	info, err := h.Info(ctx)
	if err != nil {
		return v, err
	}
	v.Memory = info.FreeMemory
	domainsAfter, volumesAfter, err := h.present(ctx)
	if err != nil {
		return v, err
	}
	v.settled = maps.Equal(domains, domainsAfter) && maps.EqualFunc(volumes, volumesAfter, func(a, b []lvm.Volume) bool { return len(a) == len(b) })
	v.Volumes = make(map[string][]lvm.Volume, len(volumes))
	for group, all := range volumes {
		v.Volumes[group] = slices.DeleteFunc(all, func(o lvm.Volume) bool {
			return !slices.ContainsFunc(volumesAfter[group], func(n lvm.Volume) bool { return n.Name == o.Name && n.Size >= o.Size })
		})
	}
	for _, id := range slices.SortedFunc(maps.Keys(v.promised), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }) {
		p := v.promised[id]
		take := capacity.Need{Memory: max(p.missing(domains), p.missing(domainsAfter))}
		if p.making {
			take.Volumes = p.Volumes
		}
		v.Host = v.Promise(take)
		v.Guests = append(v.Guests, p.Guest)
	}
	return v, nil
}

// missing is what the guest has still to get of its memory. Xen shows memory
// that it has set aside for a domain as the domain's.
func (p promise) missing(domains map[uuid.UUID]int64) int64 {
	has, ok := domains[p.UUID]
	switch {
	case !ok || has == 0: // it is not there, or nothing is set aside for it yet
		return p.Memory
	case has >= p.memory:
		return 0
	}
	return min(p.Memory, p.memory-has)
}

// present returns what each domain has of memory, and the volumes of each group.
func (h *Host) present(ctx context.Context) (map[uuid.UUID]int64, map[string][]lvm.Volume, error) {
	domains, err := h.domains.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	memory := make(map[uuid.UUID]int64, len(domains))
	for _, d := range domains {
		if d.State != xen.Dying {
			memory[d.UUID] = max(memory[d.UUID], d.Memory)
		}
	}
	groups, err := h.volumes.Groups(ctx)
	if err != nil {
		return nil, nil, err
	}
	volumes := make(map[string][]lvm.Volume, len(groups))
	for _, g := range groups {
		if volumes[g.Name], err = h.volumes.Volumes(ctx, g.Name); err != nil {
			return nil, nil, err
		}
	}
	return memory, volumes, nil
}

// promised returns the guests that this host may run or has to have room for. A
// definition that can not be read is an error: nobody knows then what is sold.
func (h *Host) promised(desk *capacity.Desk) (map[uuid.UUID]promise, error) {
	claims, err := desk.Live()
	if err != nil {
		return nil, err
	}
	records, err := h.owners.List()
	if err != nil {
		return nil, err
	}
	all := make(map[uuid.UUID]promise, len(records))
	for _, r := range records {
		var g Guest
		switch r.State {
		case owner.Running, owner.Prepared:
			g, err = h.guests.get(r.UUID, own)
		case owner.Receiving, owner.Ready, owner.Committed:
			if g, err = h.guests.get(r.UUID, incoming); errors.Is(err, fs.ErrNotExist) {
				g, err = h.guests.get(r.UUID, own)
			}
		default: // what is being made has a claim, or its maker is dead
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("guest %s: %w", r.UUID, err)
		}
		all[r.UUID] = promise{Guest: capacity.Guest{UUID: g.UUID, Name: g.Name, Need: g.Need()}, memory: g.Memory, making: r.MayRun() != nil}
	}
	for _, c := range claims {
		p := all[c.UUID]
		if p.Memory < c.Memory { // a claim for less is of a plan that may yet fail
			p.memory += c.Memory - p.Memory
			p.Need.Memory = c.Memory
		}
		p.UUID, p.Volumes, p.making = c.UUID, c.Volumes, true
		if p.Name == "" {
			p.Name = c.Name
		}
		all[c.UUID] = p
	}
	return all, nil
}
