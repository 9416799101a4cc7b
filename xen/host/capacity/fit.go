package capacity

import (
	"cmp"
	"slices"
)

// Fit says where n guests of one plan find room: the name of a host for each, in
// the order in which to make them; fewer than n if there is no room for more.
// Each goes where most memory is left for sale then. The names of the plan's volumes do
// not matter, and the plan is sold: headroom stays free.
func Fit(hosts []Host, plan Need, n int) []string {
	hosts = slices.Clone(hosts)
	plan.Volumes = slices.Clone(plan.Volumes)
	for i := range plan.Volumes {
		plan.Volumes[i].Name = ""
	}
	var where []string
	for len(where) < n {
		best := -1
		var then Host
		for i, h := range hosts {
			after, err := h.Sell(plan)
			if err == nil && (best < 0 || after.ForSale() > then.ForSale()) {
				best, then = i, after
			}
		}
		if best < 0 {
			break
		}
		hosts[best] = then
		where = append(where, then.Name)
	}
	return where
}

// Shortage says which guests would find no place if a host died.
type Shortage struct {
	Host   string  `json:"host"`
	Guests []Guest `json:"guests"`
}

// Survive is the N+1 check: for each host, could the others run its guests? It
// returns the hosts of which they could not, and nothing if each may die. Volumes
// that a replica has already made elsewhere need no room there; headroom for moves
// is what it is for. The largest guests are placed first, each where most memory
// is left: it can say no where a cleverer packing exists, never yes where there is
// none.
func Survive(hosts []Host) []Shortage {
	var short []Shortage
	for i, dead := range hosts {
		others := slices.Delete(slices.Clone(hosts), i, i+1)
		guests := slices.SortedFunc(slices.Values(dead.Guests), func(a, b Guest) int {
			return cmp.Or(cmp.Compare(b.Memory, a.Memory), cmp.Compare(a.Name, b.Name))
		})
		s := Shortage{Host: dead.Name}
		for _, g := range guests {
			best := -1
			var then Host
			for j, h := range others {
				after, err := h.Receive(g.Need)
				if err == nil && (best < 0 || after.Memory > then.Memory) {
					best, then = j, after
				}
			}
			if best < 0 {
				s.Guests = append(s.Guests, g)
				continue
			}
			others[best] = then
		}
		if len(s.Guests) > 0 {
			short = append(short, s)
		}
	}
	return short
}
