package network

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/google/uuid"
)

// A book is a State, indexed so that the change of one guest costs what that
// guest has, not what the host has; with the lines that the state needs.
type book struct {
	renderer
	host   State           // bridges and masquerades
	found  map[string]bool // facts that were made by hand before we came
	guests map[uuid.UUID]Guest
	shares map[share][]uuid.UUID // who shares a port, in order
	claims *claims
	count  map[family]int // of forwards
	routes map[family]int // of routed ports
	needs  needs
}

// share is a port that guests share.
type share struct {
	family family
	proto  Proto
	listen netip.Addr
	port   uint16
}

func (f Forward) share() share { return share{f.family(), f.Proto, f.Listen, f.Port} }

// newBook indexes a normalised state. What contradicts itself in it, as rules
// that somebody edited may, is kept as it is.
func newBook(r renderer, s State, found map[string]bool) *book {
	b := &book{
		renderer: r, host: s.host(), found: found,
		guests: map[uuid.UUID]Guest{}, shares: map[share][]uuid.UUID{}, claims: newClaims(), count: map[family]int{}, routes: map[family]int{}, needs: needs{},
	}
	_ = b.claims.links(s)
	for _, d := range b.hostDemands() {
		b.needs.add(d.needs)
	}
	for _, g := range s.Guests {
		b.enter(g)
		_ = b.claims.guest(g)
	}
	for _, d := range b.allDemands() {
		b.needs.add(d.needs)
	}
	b.needs.add(b.hairpins())
	return b
}

// enter notes a guest, but not what it needs.
func (b *book) enter(g Guest) {
	b.guests[g.UUID] = g
	b.passing(g, 1)
	for _, f := range g.Forwards {
		if f.Spread {
			who := append(b.shares[f.share()], g.UUID)
			slices.SortFunc(who, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
			b.shares[f.share()] = slices.Compact(who)
		}
	}
}

func (b *book) leave(g Guest) {
	delete(b.guests, g.UUID)
	b.passing(g, -1)
	for _, f := range g.Forwards {
		remove(b.shares, f.share(), func(id uuid.UUID) bool { return id == g.UUID })
	}
}

// passing counts what of a guest needs that the host passes packets on.
func (b *book) passing(g Guest, n int) {
	for _, f := range g.Forwards {
		b.count[f.family()] += n
	}
	for _, p := range g.Ports {
		for _, f := range p.families() {
			b.routes[f] += n
		}
	}
}

// state is the whole of it, normalised.
func (b *book) state() State {
	s := b.host
	for _, g := range b.guests {
		s.Guests = append(s.Guests, g)
	}
	return s.Normalize()
}

// A demand is a fact with the lines that it needs to be in force.
type demand struct {
	fact  string
	needs []need
}

func (b *book) remarkOf(fact string) demand {
	kept := fact
	if b.found[fact] {
		kept = foundWord + fact
	}
	return demand{fact, b.remark(kept)}
}

func (b *book) hostDemands() []demand {
	var out []demand
	for _, f := range b.host.links().hostFacts() {
		out = append(out, b.remarkOf(f.line))
	}
	for _, m := range b.host.Masquerades {
		out = append(out, demand{masqueradeFact(m), b.masquerade(m)})
	}
	return out
}

func (b *book) allDemands() []demand {
	var out []demand
	for _, g := range b.guests {
		out = append(out, b.demands(g)...)
	}
	return out
}

// demands of one guest.
func (b *book) demands(g Guest) []demand {
	var out []demand
	passing := map[string][]need{}
	at := map[netip.Addr]Port{}
	for _, p := range g.Ports {
		for _, f := range p.families() {
			passing[portFact(p, g.UUID)] = append(passing[portFact(p, g.UUID)], b.routed(f)...)
		}
		for _, a := range p.Addresses {
			at[a] = p
		}
	}
	for _, f := range (Guest{UUID: g.UUID, Ports: g.Ports}).facts() {
		d := b.remarkOf(f.line)
		d.needs = append(d.needs, passing[f.line]...)
		out = append(out, d)
	}
	for _, f := range g.Forwards {
		t := target{f, g.UUID, at[f.To.Addr()].place(), at[f.To.Addr()].Routed, 0, 1}
		if f.Spread {
			who := b.shares[f.share()]
			t.index, t.of = slices.Index(who, g.UUID), len(who)
		}
		out = append(out, demand{t.fact(), b.forward(t)})
	}
	return out
}

// hairpins are needed when there are forwards at all: the answers between two
// guests must come back through this host.
func (b *book) hairpins() []need {
	nets := map[netip.Prefix]bool{}
	for _, m := range b.host.Masquerades {
		nets[m.Source] = true
	}
	for _, br := range b.host.Bridges {
		for _, a := range br.Addresses {
			if !a.IsSingleIP() {
				nets[a.Masked()] = true
			}
		}
	}
	var out []need
	for _, net := range slices.SortedFunc(maps.Keys(nets), comparePrefix) {
		if b.count[familyOf(net.Addr())] > 0 {
			out = append(out, b.hairpin(net)...)
		}
	}
	return out
}

// uses reports whether packets of a family must pass through the host.
func (b *book) uses(f family) bool {
	return b.count[f]+b.routes[f] > 0 || slices.ContainsFunc(b.host.Masquerades, func(m Masquerade) bool { return familyOf(m.Source.Addr()) == f })
}

// claim gives a guest what it wants instead of what it had, or says who has it.
func (b *book) claim(want Guest) error {
	old := b.guests[want.UUID]
	b.claims.drop(old)
	err := b.claims.guest(want)
	if err != nil {
		b.claims.drop(want)
		_ = b.claims.guest(old)
	}
	return err
}

// replace puts a guest in the place of the one with the same UUID; nil takes it
// out. It returns the places whose lines change, before and after.
func (b *book) replace(id uuid.UUID, want *Guest) (before, after lines) {
	old, had := b.guests[id]
	touched := map[uuid.UUID]bool{id: true}
	b.sharers(old, touched)
	if want != nil {
		b.sharers(*want, touched)
	}
	gone := append(b.needsOf(touched), b.hairpins()...)
	if had {
		b.leave(old)
	}
	if want != nil {
		b.enter(*want)
	}
	return b.needs.exchange(gone, append(b.needsOf(touched), b.hairpins()...))
}

// sharers adds who shares a port with g: a share's lines depend on how many
// have it.
func (b *book) sharers(g Guest, to map[uuid.UUID]bool) {
	for _, f := range g.Forwards {
		if f.Spread {
			for _, id := range b.shares[f.share()] {
				to[id] = true
			}
		}
	}
}

func (b *book) needsOf(guests map[uuid.UUID]bool) []need {
	var out []need
	for id := range guests {
		if g, ok := b.guests[id]; ok {
			for _, d := range b.demands(g) {
				out = append(out, d.needs...)
			}
		}
	}
	return out
}
