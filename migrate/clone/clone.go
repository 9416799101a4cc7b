package clone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/network"
	"github.com/xenhost/xenhost/network/pool"
	"github.com/xenhost/xenhost/xen/host"
	"github.com/xenhost/xenhost/xen/host/owner"
)

// ErrNotClone: the guest is there and no clone. Nothing was done.
var ErrNotClone = errors.New("is no clone")

// Options changes what Make makes; nil is the defaults.
type Options struct {
	// Name is the clone's; "" is the guest's and "-clone". Its volumes are
	// called by it and by their devices: web1-clone-xvda.
	Name string
	// Lifetime is how long Sweep lets it be; 0 is 24 hours.
	Lifetime time.Duration
	// Out is the interface of the host by which the clone reaches the world, as
	// xenext; "" is not at all.
	Out string
	// Gateways are what each of the guest's Nics has as its router, with the
	// length of its network. What is left out is the address of the host on the
	// Nic's bridge, as far as the host's network says; of a routed Nic,
	// network.RouterV4.
	Gateways [][]netip.Prefix
	// Room is how many bytes of each thick disk may change, in guest and clone
	// together, before the clone is at its end; 0 is all of it.
	Room int64
	// Stopped leaves it off.
	Stopped bool
	// Change is called with the clone's definition before it is made, to give it
	// another kernel or less memory. What makes it a clone must stay.
	Change func(*host.Guest)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Clone is a clone as it is now.
type Clone struct {
	UUID    uuid.UUID `json:"uuid"`
	Name    string    `json:"name"`
	Of      uuid.UUID `json:"of"` // the guest
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	State   State     `json:"state"`
	Disks   []lvm.ID  `json:"disks"`
}

// State is what a clone does.
type State string

// A clone that is Building or Promoting while nobody works on it was left so
// by a crash: Sweep ends that.
const (
	Building  State = "building"
	Running   State = "running"
	Off       State = "off"
	Promoting State = "promoting"
)

// Make makes a clone of a guest of this host, which may run, and starts it.
// What is left of a Make of the same name that was killed is removed first; a
// clone of that name that is whole is fs.ErrExist. See host.Clone for the other
// refusals; nothing is left then.
func Make(ctx context.Context, h *host.Host, guest uuid.UUID, opts *Options) (Clone, error) {
	if opts == nil {
		opts = &Options{}
	}
	s, err := h.Guest(ctx, guest)
	if err != nil {
		return Clone{}, err
	}
	c, err := define(ctx, h, s.Guest, opts)
	if err != nil {
		return Clone{}, fmt.Errorf("clone: make %s of %s: %w", c.Name, s.Guest.Name, err)
	}
	if c, err = h.Clone(ctx, c, &host.CloneOptions{Stopped: opts.Stopped, Room: opts.Room}); err != nil {
		return Clone{}, err
	}
	return one(ctx, h, c.UUID)
}

// define says what the clone is to be. It touches nothing.
func define(ctx context.Context, h *host.Host, g host.Guest, opts *Options) (host.Guest, error) {
	now := time.Now
	if opts.Now != nil {
		now = opts.Now
	}
	lifetime := opts.Lifetime
	if lifetime == 0 {
		lifetime = 24 * time.Hour
	}
	c := g
	c.Name = opts.Name
	if c.Name == "" {
		c.Name = g.Name + "-clone"
	}
	c.UUID = uuid.NewSHA1(g.UUID, []byte(c.Name))
	c.Forwards, c.Nics, c.Disks = nil, nil, nil
	c.Rates, c.Throttle = host.Guest{}.Rates, host.Guest{}.Throttle
	made := now().UTC().Truncate(time.Second)
	c.Clone = &host.CloneOf{Guest: g.UUID, Made: made, Expires: made.Add(lifetime), Out: opts.Out}
	for _, d := range g.Disks {
		d.Volume.Name = c.Name + "-" + d.Dev
		c.Disks = append(c.Disks, d)
	}
	have, err := h.Network().Read(ctx)
	if err != nil {
		return c, err
	}
	for i, n := range g.Nics {
		if n.MAC, err = (pool.MACs{}).Next(c.UUID, i, have); err != nil {
			return c, err
		}
		c.Nics = append(c.Nics, n)
		gateways := gatewaysOf(n, have)
		if i < len(opts.Gateways) && len(opts.Gateways[i]) > 0 {
			gateways = opts.Gateways[i]
		}
		c.Clone.Gateways = append(c.Clone.Gateways, gateways)
	}
	if opts.Change != nil {
		opts.Change(&c)
	}
	return c, nil
}

// gatewaysOf are the addresses that a guest's interface can have its router at.
func gatewaysOf(n host.Nic, have network.State) (all []netip.Prefix) {
	if n.Routed {
		return []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(network.RouterV4), 32)}
	}
	for _, b := range have.Bridges {
		for _, a := range b.Addresses {
			if b.Name == n.Bridge && a.Addr().Is4() {
				all = append(all, a)
			}
		}
	}
	return all
}

// List returns the clones of a host, ordered by UUID.
func List(ctx context.Context, h *host.Host) ([]Clone, error) {
	guests, err := h.Guests(ctx)
	if err != nil {
		return nil, err
	}
	var all []Clone
	for _, s := range guests {
		if s.Guest.Clone != nil {
			all = append(all, of(s))
		}
	}
	return all, nil
}

func of(s host.Status) Clone {
	c := Clone{
		UUID: s.Guest.UUID, Name: s.Guest.Name, Of: s.Guest.Clone.Guest, Made: s.Guest.Clone.Made, Expires: s.Guest.Clone.Expires, State: Off,
	}
	switch {
	case s.Owner.State == owner.Building:
		c.State = Building
	case s.Guest.Clone.Promoting:
		c.State = Promoting
	case s.Domain != nil:
		c.State = Running
	}
	for _, d := range s.Guest.Disks {
		c.Disks = append(c.Disks, d.Volume)
	}
	return c
}

// one returns a clone: fs.ErrNotExist, or ErrNotClone.
func one(ctx context.Context, h *host.Host, id uuid.UUID) (Clone, error) {
	s, err := h.Guest(ctx, id)
	if err != nil {
		return Clone{}, err
	}
	if s.Guest.Clone == nil {
		return Clone{}, fmt.Errorf("clone: %s: %w", s.Guest.Name, ErrNotClone)
	}
	return of(s), nil
}

// Promote gives the guest the disks of its clone; see host.PromoteClone.
func Promote(ctx context.Context, h *host.Host, id uuid.UUID) (host.Promotion, error) {
	if _, err := one(ctx, h, id); err != nil {
		return host.Promotion{}, err
	}
	return h.PromoteClone(ctx, id)
}

// Discard ends a clone: its domain, volumes, network and definition. There
// being none of that UUID is no error; a guest that is no clone is ErrNotClone,
// and one whose promotion has begun host.ErrBusy.
func Discard(ctx context.Context, h *host.Host, id uuid.UUID) error {
	if _, err := one(ctx, h, id); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := h.Terminate(ctx, id); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
