package shaping

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// plan works out what to do for the guests that mine picks. whole is for all
// else too: the uplink, and what was left over.
func (o observed) plan(want State, mine func(uuid.UUID) bool, whole bool) (*job, error) {
	j := &job{}
	if whole {
		if err := o.planUplink(j, want.Uplink); err != nil {
			return nil, err
		}
	}
	var guests []Guest
	keep := map[string]bool{}
	for _, g := range want.Guests {
		if mine(g.UUID) {
			guests = append(guests, g)
			for _, v := range g.Vifs {
				keep[v] = true
			}
		}
	}
	entries, classes, err := o.assign(guests)
	if err != nil {
		return nil, err
	}
	for _, g := range guests {
		if err := o.planGuest(j, g, want.Uplink, classes[g.UUID]); err != nil {
			return nil, fmt.Errorf("guest %v: %w", g.UUID, err)
		}
	}
	var gone []entry
	for v, id := range o.owner {
		if keep[v] || !mine(id) {
			continue
		}
		gone = append(gone, o.entries[v])
		o.dropRound(j, v)
		if link, there := o.links[v]; there && o.roots[link].ours(vifRoot) {
			j.drop = append(j.drop, dropRoot(link, vifRoot, "take the limit off vif "+v))
		}
	}
	for v := range o.rounds { // whose note somebody took away
		if _, noted := o.entries[v]; whole && !noted && !keep[v] {
			o.dropRound(j, v)
		}
	}
	stay := o.planNotes(j, want.Uplink, entries, gone)
	if link, ours := o.stands(want.Uplink); ours {
		for _, id := range slices.Sorted(maps.Keys(o.classes)) {
			if stay[id] == 0 && id <= lastClass {
				j.drop = append(j.drop, dropClass(link, id, "remove a class of "+want.Uplink.Dev))
			}
		}
	}
	return j, nil
}

// stands finds the uplink's link, and whether our queue is on it already, with
// the classes that were seen.
func (o observed) stands(u Uplink) (link int32, ours bool) {
	link, there := o.links[u.Dev]
	return link, there && o.roots[link].ours(uplinkRoot)
}

func (o observed) planUplink(j *job, u Uplink) error {
	if old, ours := o.stands(o.noted.Uplink); ours && o.noted.Uplink.Dev != u.Dev {
		j.drop = append(j.drop, dropRoot(old, uplinkRoot, "take the limits off "+o.noted.Uplink.Dev))
	}
	if u == (Uplink{}) {
		return nil
	}
	if _, there := o.links[u.Dev]; !there {
		return fmt.Errorf("uplink %s: %w", u.Dev, fs.ErrNotExist)
	}
	link, stands := o.stands(u)
	if r := o.roots[link]; r.foreign(uplinkRoot) {
		return r.obstructs("uplink " + u.Dev)
	}
	if !stands {
		j.set = append(j.set, makeUplink(link, "limit uplink "+u.Dev))
	}
	for _, c := range []struct {
		id, parent uint32
		want       class
	}{{lineClass, uplinkRoot, u.line()}, {dom0Class, lineClass, u.dom0()}} {
		if have, ok := o.classes[c.id]; !stands || !ok || have != c.want {
			j.set = append(j.set, setClass(link, c.id, c.parent, c.want, "limit uplink "+u.Dev))
		}
	}
	o.planLeaf(j, leaf{leafAt{link, dom0Class}, queue(u.Rate), "queue of uplink " + u.Dev}, stands)
	return nil
}

// planLeaf gives a class the queue that it lacks.
func (o observed) planLeaf(j *job, l leaf, stays bool) {
	if kind := o.leaves[l.at]; !stays || kind != "fq_codel" && kind != "bfifo" {
		j.leaves = append(j.leaves, l)
	}
}

func (o observed) planGuest(j *job, g Guest, u Uplink, id uint32) error {
	if u != (Uplink{}) {
		o.planUpload(j, g, u, id)
	}
	want, limited := g.Limits().download()
	send, sends := g.Limits().send()
	for _, v := range g.Vifs {
		if err := o.planSend(j, v, send, sends); err != nil {
			return err
		}
		link, there := o.links[v]
		r := o.roots[link]
		switch {
		case !there:
		case limited && r.foreign(vifRoot):
			return r.obstructs("vif " + v)
		case limited && (!r.ours(vifRoot) || r.bucket != want):
			j.set = append(j.set, setBucket(link, want, "limit vif "+v))
			if !r.ours(vifRoot) {
				j.leaves = append(j.leaves, leaf{leafAt{link, vifRoot | 1}, 0, "queue of vif " + v})
			}
		case !limited && r.ours(vifRoot):
			j.drop = append(j.drop, dropRoot(link, vifRoot, "take the limit off vif "+v))
		}
	}
	return nil
}

// obstructed are the guests that can not be limited, because a vif of theirs
// has a queue that is not ours.
func (o observed) obstructed(s State) map[uuid.UUID]error {
	out := map[uuid.UUID]error{}
	for _, g := range s.Guests {
		if err := o.planGuest(&job{}, g, Uplink{}, 0); err != nil {
			out[g.UUID] = fmt.Errorf("guest %v: %w", g.UUID, err)
		}
	}
	return out
}

func (o observed) planUpload(j *job, g Guest, u Uplink, id uint32) {
	link, stands := o.stands(u)
	have, ok := o.classes[id]
	ok = ok && stands
	want := g.Limits().upload(u)
	l := leaf{leafAt{link, id}, queue(Rate(want.ceil * 8)), fmt.Sprintf("limit uploads of guest %v", g.UUID)}
	if !ok || have != want {
		j.set = append(j.set, setClass(link, id, lineClass, want, l.about))
	}
	if ok && have.ceil != want.ceil && o.leaves[l.at] == "bfifo" {
		j.set = append(j.set, setShortLeaf(link, id, l.limit, l.about))
	}
	o.planLeaf(j, l, stands)
}

// assign gives each guest a class, the one that it has or the lowest free one,
// and lists what the maps should say about its vifs.
func (o observed) assign(guests []Guest) (entries []entry, classes map[uuid.UUID]uint32, err error) {
	classes = map[uuid.UUID]uint32{}
	var used map[uint32]int
	next := uplinkRoot | 1
	for _, g := range guests {
		id := o.classOf(o.notedGuest(g))
		for ; id == 0; next++ {
			if next > lastClass {
				return nil, nil, fmt.Errorf("more than %d guests: %w", lastClass-uplinkRoot, errors.ErrUnsupported)
			}
			if used == nil {
				used = o.uses()
			}
			if used[next] == 0 {
				id, used[next] = next, 1
			}
		}
		classes[g.UUID] = id
		for _, v := range g.Vifs {
			entries = append(entries, entry{v, id, g.note()})
		}
	}
	return entries, classes, nil
}

// notedGuest is the guest as it is noted now, with the vifs that it has there.
func (o observed) notedGuest(g Guest) Guest {
	noted, _ := o.noted.Guest(g.UUID)
	return noted
}

// planNotes writes what changed into the maps, in one transaction, and counts
// how many vifs use each class of the uplink after it. Without an uplink and
// guests nothing of ours stays.
func (o observed) planNotes(j *job, u Uplink, want, gone []entry) (stay map[uint32]int) {
	put := slices.DeleteFunc(want, func(e entry) bool { return o.entries[e.vif] == e })
	left := len(o.entries) - len(gone) + len(put)
	for _, e := range put {
		if old, ok := o.entries[e.vif]; ok { // a comment changes only with its element
			gone = append(gone, old)
			left--
		}
	}
	if u == (Uplink{}) && left == 0 {
		if o.made {
			j.notes = append(j.notes, dropTables()...)
		}
		return nil
	}
	if !o.made {
		j.notes = append(j.notes, makeTables()...)
	}
	if !o.made || u != o.noted.Uplink {
		j.notes = append(j.notes, setRules(u)...)
	}
	uses := map[uint32]int{}
	for _, e := range slices.Concat(gone, put) {
		uses[e.class] = 0
	}
	for id := range o.classes {
		uses[id] = 0
	}
	for _, e := range o.entries {
		if _, asked := uses[e.class]; asked {
			uses[e.class]++
		}
	}
	var free, first []uint32
	for _, e := range gone {
		if uses[e.class]--; uses[e.class] == 0 {
			free = append(free, e.class)
		}
	}
	for _, e := range put {
		if uses[e.class]++; uses[e.class] == 1 {
			first = append(first, e.class)
		}
	}
	j.notes = append(j.notes, dropNotes(gone)...)
	j.notes = append(j.notes, changeRouted(unix.NFT_MSG_DELSETELEM, free)...)
	j.notes = append(j.notes, putNotes(put)...)
	j.notes = append(j.notes, changeRouted(unix.NFT_MSG_NEWSETELEM, first)...)
	return uses
}

// uses counts the vifs of each class.
func (r record) uses() map[uint32]int {
	out := make(map[uint32]int, len(r.entries))
	for _, e := range r.entries {
		out[e.class]++
	}
	return out
}
