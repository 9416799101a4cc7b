// Package networktest has a network without a kernel (Fake) and the suite that
// every network.Manager must pass (TestManager).
package networktest

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/network"
)

// Options say what the simulated host has before we come; nil is a host with
// the hand-made bridges xenext (port eth0, address 203.0.113.1/24) and xenint
// (port eth1, address 192.168.0.1/16) and the free interfaces eth2 and eth3.
type Options struct {
	Bridges    []network.Bridge // made by the operator, not by us
	Interfaces []string         // that are in no bridge
	Reserved   []uint16         // ports that dom0 keeps, besides 22
}

// Fake is the network of a simulated host. It refuses what network.Linux
// refuses, and is safe for concurrent use.
type Fake struct {
	mu        sync.Mutex
	bridges   map[string]*bridge
	links     map[string]*link
	free      map[string]bool // interfaces that are in no bridge
	ours      network.State   // masquerades and guests; bridges are above
	reserved  []uint16
	listeners []listener
	mtu       map[string]int
	faults    []fault
}

var _ network.Manager = (*Fake)(nil)

type listener struct {
	proto network.Proto
	at    netip.AddrPort
}

// New returns a simulated host.
func New(opts *Options) *Fake {
	if opts == nil {
		opts = &Options{
			Bridges: []network.Bridge{
				{Name: "xenext", Ports: []string{"eth0"}, Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")}},
				{Name: "xenint", Ports: []string{"eth1"}, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.1/16")}},
			},
			Interfaces: []string{"eth2", "eth3"},
		}
	}
	f := &Fake{bridges: map[string]*bridge{}, links: map[string]*link{}, free: map[string]bool{}, mtu: map[string]int{}, reserved: append([]uint16{22}, opts.Reserved...)}
	for _, b := range opts.Bridges {
		f.Plant(b)
	}
	for _, name := range opts.Interfaces {
		f.free[name] = true
	}
	return f
}

// Plant makes a bridge as an operator would by hand: it is not ours. Ports
// that do not exist yet come into being in it.
func (f *Fake) Plant(b network.Bridge) {
	f.mu.Lock()
	defer f.mu.Unlock()
	made := newBridge(false)
	for _, p := range b.Ports {
		delete(f.free, p)
		made.ports[p] = unseen
	}
	for _, a := range b.Addresses {
		made.addresses[a] = unseen
	}
	f.bridges[b.Name] = made
}

// Listen lets dom0 itself listen, as its web server would; the unspecified
// address is every address.
func (f *Fake) Listen(proto network.Proto, at netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners = append(f.listeners, listener{proto, at})
}

// Lookup tells which guest answers a port of this host, and at which address;
// a simulated Internet asks it. It sees forwards that listen on every address;
// of guests that share a port it gives the first.
func (f *Fake) Lookup(proto network.Proto, port uint16) (id uuid.UUID, to netip.AddrPort, ok bool) {
	return f.lookup(func(fw network.Forward) bool { return !fw.Listen.IsValid() }, proto, port)
}

// LookupAt is Lookup at one address of the host. A whole address that is
// forwarded goes before single ports.
func (f *Fake) LookupAt(proto network.Proto, at netip.AddrPort) (id uuid.UUID, to netip.AddrPort, ok bool) {
	id, to, ok = f.lookup(func(fw network.Forward) bool {
		return fw.Proto == network.All && fw.Listen == at.Addr()
	}, network.All, 0)
	if ok {
		return id, netip.AddrPortFrom(to.Addr(), at.Port()), true
	}
	return f.lookup(func(fw network.Forward) bool {
		return fw.Listen == at.Addr() || !fw.Listen.IsValid() && fw.To.Addr().Is6() == at.Addr().Is6()
	}, proto, at.Port())
}

func (f *Fake) lookup(here func(network.Forward) bool, proto network.Proto, port uint16) (uuid.UUID, netip.AddrPort, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.ours.Guests {
		for _, fw := range g.Forwards {
			if fw.Proto == proto && fw.Port <= port && port <= max(fw.Port, fw.Last) && here(fw) {
				return g.UUID, netip.AddrPortFrom(fw.To.Addr(), fw.To.Port()+port-fw.Port), true
			}
		}
	}
	return uuid.Nil, netip.AddrPort{}, false
}

// Recorded implements network.Manager. There are no vifs here, so it is what
// Read says.
func (f *Fake) Recorded(ctx context.Context) (network.State, error) { return f.Read(ctx) }

// Read implements network.Manager.
func (f *Fake) Read(ctx context.Context) (network.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done, err := f.begin(ctx, "read")
	if err == nil {
		err = done()
	}
	if err != nil {
		return network.State{}, &network.Error{Op: "read", Err: err}
	}
	return f.read(), nil
}

// Apply implements network.Manager.
func (f *Fake) Apply(ctx context.Context, want network.State) (network.Plan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	want = want.Normalize()
	plan, err := f.apply(ctx, want)
	if err != nil {
		return network.Plan{}, &network.Error{Op: "apply", Err: err}
	}
	return plan, nil
}

func (f *Fake) apply(ctx context.Context, want network.State) (network.Plan, error) {
	done, err := f.begin(ctx, "apply")
	if err != nil {
		return network.Plan{}, err
	}
	stays := func(name string) bool {
		b := f.bridges[name]
		return b != nil && !b.ours || slices.ContainsFunc(want.Bridges, func(w network.Bridge) bool { return w.Name == name })
	}
	links := made(want)
	if err := f.check(want, want.Guests, func(p network.Port) bool {
		switch on := p.Bridge + p.Uplink; {
		case !p.Routed || f.bridges[on] != nil || links[on] != nil:
			return stays(on) || links[on] != nil
		default:
			return f.exists(on) && f.links[on] == nil || stays(on)
		}
	}); err != nil {
		return network.Plan{}, err
	}
	if err := f.checkLinks(want); err != nil {
		return network.Plan{}, err
	}
	if err := f.checkBridges(want); err != nil {
		return network.Plan{}, err
	}
	plan := network.Diff(f.read(), want)
	f.takeLinks(want)
	f.makeLinks(want)
	f.setBridges(want.Bridges)
	f.ours = network.State{Masquerades: want.Masquerades, Guests: want.Guests}
	return plan, done()
}

// Set implements network.Manager.
func (f *Fake) Set(ctx context.Context, want network.Guest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	done, err := f.begin(ctx, "set")
	if err == nil {
		next := f.read().With(want)
		stays := func(p network.Port) bool { return f.bridges[p.Bridge] != nil || p.Routed && f.exists(p.Uplink) }
		if err = f.check(next, []network.Guest{want}, stays); err == nil {
			f.ours = network.State{Masquerades: next.Masquerades, Guests: next.Guests}
			err = done()
		}
	}
	if err != nil {
		return &network.Error{Op: "set", Name: want.UUID.String(), Err: err}
	}
	return nil
}

// Remove implements network.Manager.
func (f *Fake) Remove(ctx context.Context, id uuid.UUID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	done, err := f.begin(ctx, "remove")
	if err == nil {
		f.ours = f.ours.Without(id)
		err = done()
	}
	if err != nil {
		return &network.Error{Op: "remove", Name: id.String(), Err: err}
	}
	return nil
}

// read is the whole state, a copy.
func (f *Fake) read() network.State {
	s := f.ours.Normalize()
	for _, l := range f.links {
		l.read(&s)
	}
	for name, b := range f.bridges {
		if b.known {
			s.Bridges = append(s.Bridges, b.read(name))
		}
	}
	return s.Normalize()
}

// check refuses what a host would: of the whole next state what contradicts
// itself, of the guests that change what this host can not give them.
func (f *Fake) check(next network.State, changed []network.Guest, stays func(p network.Port) bool) error {
	if err := next.Validate(); err != nil {
		return bare(err)
	}
	for _, g := range changed {
		for _, p := range g.Ports {
			if p.Routed && p.Uplink == "" {
				continue
			}
			if !stays(p) {
				return fmt.Errorf("interface %s: %w", p.Bridge+p.Uplink, fs.ErrNotExist)
			}
		}
		old, _ := f.ours.Guest(g.UUID)
		for _, fw := range g.Forwards {
			if !slices.Contains(old.Forwards, fw) && f.needed(fw) {
				return fmt.Errorf("forward %v: %w", fw, network.ErrReserved)
			}
		}
	}
	return nil
}

// needed reports whether dom0 itself wants what the forward would take.
func (f *Fake) needed(fw network.Forward) bool {
	if fw.Proto == network.All {
		return f.onNetwork(fw.Listen)
	}
	inRange := func(port uint16) bool { return fw.Port <= port && port <= max(fw.Port, fw.Last) }
	return slices.ContainsFunc(f.reserved, inRange) || slices.ContainsFunc(f.listeners, func(l listener) bool {
		a := l.at.Addr()
		switch {
		case l.proto != fw.Proto || !inRange(l.at.Port()) || a.IsLoopback():
			return false
		case a.IsUnspecified():
			return a.Is6() || fw.To.Addr().Is4()
		}
		return a.Is6() == fw.To.Addr().Is6() && (!fw.Listen.IsValid() || fw.Listen == a)
	})
}

// onNetwork reports whether dom0 is on a network by that address.
func (f *Fake) onNetwork(a netip.Addr) bool {
	for _, b := range f.bridges {
		for p := range b.addresses {
			if p.Addr() == a && !p.IsSingleIP() {
				return true
			}
		}
	}
	return false
}
