package shaping

import (
	"maps"
	"slices"

	"github.com/google/uuid"
)

// A record is what was asked for, as the maps of nftables keep it. It is never
// changed once it is made.
type record struct {
	generation uint32 // of all of nftables: it grows with every change, whoever makes it
	made       bool   // our tables are there
	noted      State
	entries    map[string]entry     // by vif
	owner      map[string]uuid.UUID // of each entry; the zero UUID where its note can not be read
	torn       map[uuid.UUID]bool   // guests whose vifs say different things
}

// recall reads the record; while nobody has changed nftables since the last
// time, that is one short question.
func (k *kernel) recall() (record, error) {
	for {
		generation, err := k.nft.generation()
		if err != nil {
			return record{}, err
		}
		if k.last != nil && k.last.generation == generation {
			return *k.last, nil
		}
		uplink, entries, made, err := k.nft.notes()
		if err != nil {
			return record{}, err
		}
		r := record{
			generation: generation, made: made, noted: State{Uplink: uplink},
			entries: map[string]entry{}, owner: map[string]uuid.UUID{}, torn: map[uuid.UUID]bool{},
		}
		r.add(entries)
		k.last = &r // had it changed meanwhile, the next turn would read it again
	}
}

// recallOne reads what the maps say about a guest's vifs, after we have changed
// that; the rest is as it was if nobody else changed anything.
func (k *kernel) recallOne(old record, id uuid.UUID, vifs []string) (record, error) {
	generation, err := k.nft.generation()
	if err != nil {
		return record{}, err
	}
	if generation != old.generation+1 || !old.made {
		return k.recall()
	}
	r := record{
		generation: generation, noted: old.noted.replaced(id, nil),
		entries: maps.Clone(old.entries), owner: maps.Clone(old.owner), torn: maps.Clone(old.torn),
	}
	var found []entry
	for _, v := range vifs {
		e, err := k.nft.note(v)
		if err != nil {
			return record{}, err
		}
		found = append(found, e...)
		delete(r.entries, v)
		delete(r.owner, v)
	}
	delete(r.torn, id)
	r.add(found)
	r.made = r.noted.Uplink != Uplink{} || len(r.entries) > 0 // see planNotes
	k.last = &r
	return r, nil
}

// add puts in entries of guests that are not in the record yet.
func (r *record) add(entries []entry) {
	guests := map[uuid.UUID]Guest{}
	for _, e := range entries {
		g, ours := parseNote(e.note)
		if _, again := r.entries[e.vif]; again {
			continue
		}
		r.entries[e.vif], r.owner[e.vif] = e, g.UUID
		if !ours {
			continue
		}
		if other, ok := guests[g.UUID]; ok {
			first := r.entries[other.Vifs[0]]
			r.torn[g.UUID] = r.torn[g.UUID] || first.note != e.note || first.class != e.class
			g.Vifs = other.Vifs
		}
		g.Vifs = append(g.Vifs, e.vif)
		guests[g.UUID] = g
	}
	for _, g := range guests {
		r.noted.Guests = append(r.noted.Guests, g.Normalize())
	}
	r.noted.sort()
}

// replaced is s with one guest's part replaced by another one or none. Unlike
// With it shares what it does not change.
func (s State) replaced(id uuid.UUID, want []Guest) State {
	s.Guests = slices.DeleteFunc(slices.Clone(s.Guests), func(g Guest) bool { return g.UUID == id })
	s.Guests = append(s.Guests, want...)
	s.sort()
	return s
}

// classOf is the class that a guest has already; 0 is none.
func (r record) classOf(g Guest) uint32 {
	for _, v := range g.Vifs {
		if e, ok := r.entries[v]; ok {
			return e.class
		}
	}
	return 0
}
