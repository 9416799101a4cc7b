package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/network/island"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// CloneOf says what a clone is a clone of.
type CloneOf struct {
	Guest uuid.UUID `json:"guest"` // its volumes are the origins of the clone's
	Made  time.Time `json:"made"`
	// Expires is when nobody needs it any more; the zero Time is never. See
	// package clone.
	Expires time.Time `json:"expires,omitzero"`
	// Gateways are what each Nic finds as its router, in their order; Out is the
	// interface of the host by which it reaches the world, empty for none.
	Gateways [][]netip.Prefix `json:"gateways,omitempty"`
	Out      string           `json:"out,omitempty"`
	// Promoting: its volumes become the guest's; only PromoteClone ends that.
	Promoting bool `json:"promoting,omitempty"`
}

// CloneOptions changes how Clone works; nil is a clone that is started and
// whose volumes can not run full.
type CloneOptions struct {
	Stopped bool // leave it off
	// Room is how many bytes the clone and its guest together may change of each
	// thick volume; 0 is all of it. A clone that has used it up is at its end
	// (lvm.ErrSnapshotInvalid); the guest is unharmed.
	Room int64
}

// Clone makes a guest whose volumes are copies on write of those of
// c.Clone.Guest, and starts it on an island. The guest may run: each disk of
// the clone is then what a power failure would have left of it, one after the
// other. c.Disks are the guest's, in its order, with the names that the clone's
// volumes are to have, in the same groups; forwards and rates it must not have.
//
// A failure takes everything back. What a crash left is taken back by the next
// Clone with the same UUID, or by Terminate.
//
// fs.ErrExist: a guest of this UUID or name, or a volume of one of the names, is
// here already; errors.ErrUnsupported: the host has no islands; lvm.ErrNoSpace,
// xen.ErrNoMemory, ErrBusy, ErrNotOwner.
func (h *Host) Clone(ctx context.Context, c Guest, opts *CloneOptions) (Guest, error) {
	if opts == nil {
		opts = &CloneOptions{}
	}
	c = c.withDefaults()
	c.Off = opts.Stopped
	made, err := h.clone(ctx, c, opts)
	if err != nil {
		return Guest{}, &Error{Op: "clone", Name: c.Name, Err: err}
	}
	return made, nil
}

func (h *Host) clone(ctx context.Context, c Guest, opts *CloneOptions) (Guest, error) {
	if c.Clone == nil || c.Clone.Promoting {
		return Guest{}, fmt.Errorf("%w: it is not said of which guest", ErrInvalid)
	}
	l, err := h.Hold(c.UUID)
	if err != nil {
		return Guest{}, err
	}
	defer l.Release()
	origin, err := h.Hold(c.Clone.Guest)
	if err != nil {
		return Guest{}, err
	}
	defer origin.Release()
	g, err := origin.mayBeCloned(&c)
	if err != nil {
		return Guest{}, err
	}
	if err := errors.Join(c.Validate(), h.hasIslands(c)); err != nil {
		return Guest{}, err
	}
	if _, err := h.activate(ctx, g); err != nil { // a snapshot needs an active origin
		return Guest{}, err
	}
	claim, err := l.beginBuilding(ctx, c.sized(opts.Room))
	if err != nil {
		return Guest{}, err
	}
	defer claim.Release()
	if err := l.buildClone(ctx, g, &c, opts); err != nil {
		// The caller's context may be what ended it; taking back has time of its own.
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		return Guest{}, errors.Join(err, l.demolish(back, c))
	}
	return c, nil
}

// mayBeCloned returns the guest to clone, if this host owns it and c is made for
// its disks.
func (l *Hold) mayBeCloned(c *Guest) (Guest, error) {
	r, err := l.Record()
	switch {
	case err != nil:
		return Guest{}, err
	case r.State == "":
		return Guest{}, fmt.Errorf("guest %s: %w", l.id, fs.ErrNotExist)
	}
	if err := r.MayRun(); err != nil {
		return Guest{}, err
	}
	g, err := l.h.guests.get(l.id, own)
	switch {
	case err != nil:
		return Guest{}, err
	case g.Clone != nil:
		return Guest{}, fmt.Errorf("%w: %s is a clone itself", ErrInvalid, g.Name)
	case len(g.Disks) == 0 || len(g.Disks) != len(c.Disks):
		return Guest{}, fmt.Errorf("%w: %d disks of a guest with %d", ErrInvalid, len(c.Disks), len(g.Disks))
	}
	for i, d := range g.Disks {
		to := &c.Disks[i]
		if to.Dev != d.Dev || to.Volume.Group != d.Volume.Group {
			return Guest{}, fmt.Errorf("%w: disk %s in group %s is to be a copy on write of %s in %s", ErrInvalid, to.Dev, to.Volume.Group, d.Dev, d.Volume)
		}
		to.Size, to.Pool = d.Size, d.Pool
	}
	return g, nil
}

// sized is a clone with as much for each disk as it takes of its group.
func (g Guest) sized(room int64) Guest {
	g.Disks = slices.Clone(g.Disks)
	for i := range g.Disks {
		if d := &g.Disks[i]; d.Pool == "" && room > 0 {
			d.Size = min(d.Size, room)
		}
	}
	return g
}

func (l *Hold) buildClone(ctx context.Context, g Guest, c *Guest, opts *CloneOptions) error {
	h := l.h
	if !opts.Stopped {
		spec := c.Spec(c.Devices())
		spec.Vifs = nil // their bridges are not there yet
		if err := h.domains.Check(ctx, spec); err != nil {
			return err
		}
	}
	for i := range c.Disks {
		v, err := h.volumes.Snapshot(ctx, g.Disks[i].Volume, c.Disks[i].Volume.Name, &lvm.SnapshotOptions{
			Size: opts.Room, Tags: []string{guestTag(c.UUID), stateBuilding},
		})
		if err != nil {
			return err
		}
		c.Disks[i].Size = v.Size
		if err := h.mark(ctx, v, "", 0); err != nil {
			return err
		}
	}
	if err := h.guests.put(*c, own); err != nil { // sizes are known now
		return err
	}
	if err := h.setNetwork(ctx, *c); err != nil {
		return err
	}
	if err := l.SetRecord(owner.Record{UUID: c.UUID, State: owner.Running, Epoch: 1}); err != nil {
		return err
	}
	if opts.Stopped {
		return nil
	}
	_, err := l.start(ctx)
	return err
}

// validClone refuses what a clone can not have.
func (g Guest) validClone() error {
	switch c := g.Clone; {
	case c == nil:
		return nil
	case c.Guest == uuid.Nil || c.Guest == g.UUID:
		return fmt.Errorf("%w: clone of guest %s", ErrInvalid, c.Guest)
	case len(g.Forwards) > 0:
		return fmt.Errorf("%w: nothing of the host's ports leads to a clone", ErrInvalid)
	case len(g.Shared) > 0:
		return fmt.Errorf("%w: of a shared disk there is no copy on write", ErrInvalid)
	case len(g.Nics) == 0:
		return nil
	case len(c.Gateways) > len(g.Nics):
		return fmt.Errorf("%w: gateways for %d interfaces of %d", ErrInvalid, len(c.Gateways), len(g.Nics))
	}
	return g.island().Validate()
}

// island is the network of a clone.
func (g Guest) island() island.Island {
	i := island.Island{UUID: g.UUID, Out: g.Clone.Out}
	for n, nic := range g.Nics {
		link := island.Link{Addresses: nic.Addresses}
		if n < len(g.Clone.Gateways) {
			link.Gateways = g.Clone.Gateways[n]
		}
		i.Links = append(i.Links, link)
	}
	return i
}

func (h *Host) hasIslands(g Guest) error {
	if g.Clone != nil && len(g.Nics) > 0 && h.islands == nil {
		return fmt.Errorf("this host has no islands: %w", errors.ErrUnsupported)
	}
	return nil
}

// setIsland makes the network of a clone; other guests have none.
func (h *Host) setIsland(ctx context.Context, g Guest) error {
	if g.Clone == nil || len(g.Nics) == 0 {
		return nil
	}
	if err := h.hasIslands(g); err != nil {
		return err
	}
	return h.islands.Set(ctx, g.island())
}

// unborn refuses to end a guest, or to move it, of which there are clones: their
// volumes are made of its own. So it does with a clone whose volumes are becoming its
// guest's.
func (l *Hold) unborn(ctx context.Context, g Guest) error {
	if g.Clone != nil && g.Clone.Promoting {
		return fmt.Errorf("%w: its volumes become the guest's; promote it again", ErrBusy)
	}
	all, err := l.h.Guests(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if c := s.Guest.Clone; c != nil && c.Guest == g.UUID {
			return fmt.Errorf("%w: %s is a clone of it; discard or promote that first", ErrBusy, s.Guest.Name)
		}
	}
	return nil
}

// turnOn makes the device node of a guest's volume. That of a thick clone comes
// with its origin's, which must be in use and not somebody else's by now.
func (h *Host) turnOn(ctx context.Context, v lvm.Volume) error {
	if v.Kind != lvm.Snapshot {
		return h.volumes.Activate(ctx, v.ID)
	}
	origin, err := h.volumes.Volume(ctx, lvm.ID{Group: v.Group, Name: v.Origin})
	if err != nil {
		return err
	}
	if s := state(origin); s != "" {
		return fmt.Errorf("%w: its origin %s carries %s", ErrNotOwner, origin.ID, s)
	}
	return h.volumes.Activate(ctx, origin.ID)
}
