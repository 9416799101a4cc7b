package network

import (
	"slices"
	"strings"
)

// A place in the kernel's tables where our lines are: a chain of an iptables
// table, or a set or map of our nft table.
type place struct {
	family family
	table  string // of iptables; our nft table has its name from the family
	name   string
}

// A need is one line that a fact needs: a rule of a chain, or an element of a
// set. Facts share lines, as the jump to a chain; a line is there as long as
// some fact needs it.
type need struct {
	at   place
	text string // as the kernel's own tool prints it
	// order is the line's place among the others of a chain in which the order
	// matters; 0 is one where it does not.
	order int
}

// lines are lines at their places, as they were read or should be. A place
// without lines is one that exists and is empty; one that is missing does not exist.
type lines map[place][]string

// needs count who needs a line.
type needs map[place]map[string]needed

type needed struct{ order, count int }

func (n needs) add(list []need) {
	for _, x := range list {
		if n[x.at] == nil {
			n[x.at] = map[string]needed{}
		}
		n[x.at][x.text] = needed{x.order, n[x.at][x.text].count + 1}
	}
}

func (n needs) drop(list []need) {
	for _, x := range list {
		left := n[x.at][x.text].count - 1
		switch {
		case left > 0:
			n[x.at][x.text] = needed{x.order, left}
		case len(n[x.at]) > 1:
			delete(n[x.at], x.text)
		default:
			delete(n, x.at)
		}
	}
}

// at lists the lines of one place in their order.
func (n needs) at(p place) []string {
	type line struct {
		order int
		text  string
	}
	all := make([]line, 0, len(n[p]))
	for text, x := range n[p] {
		all = append(all, line{x.order, text})
	}
	slices.SortFunc(all, func(a, b line) int {
		if a.order != b.order {
			return a.order - b.order
		}
		return strings.Compare(a.text, b.text)
	})
	out := make([]string, len(all))
	for i, l := range all {
		out[i] = l.text
	}
	return out
}

func (n needs) lines() lines {
	out := lines{}
	for p := range n {
		out[p] = n.at(p)
	}
	return out
}

// exchange takes away what gone needs and adds what come needs. It returns the
// lines that are no longer needed and those that now are, so that a change
// costs what changes and not what is there. A place that exists before or
// after is in that one, if only by an empty list; where the order of lines
// matters, all of the place is in both.
func (n needs) exchange(gone, come []need) (before, after lines) {
	touched := map[place]map[string]bool{}
	for _, x := range slices.Concat(gone, come) {
		if touched[x.at] == nil {
			touched[x.at] = map[string]bool{}
		}
		touched[x.at][x.text] = true
	}
	before = n.among(touched)
	n.drop(gone)
	n.add(come)
	after = n.among(touched)
	for p := range touched {
		was, existed := before[p]
		is, exists := after[p]
		switch {
		case existed && exists && slices.Equal(was, is):
			delete(before, p)
			delete(after, p)
		case existed && exists && !ordered(p):
			before[p], after[p] = without(was, is), without(is, was)
		}
	}
	return before, after
}

// among lists those of the touched lines that are there, and all of a place
// where the order matters.
func (n needs) among(touched map[place]map[string]bool) lines {
	out := lines{}
	for p, texts := range touched {
		switch {
		case n[p] == nil:
		case ordered(p):
			out[p] = n.at(p)
		default:
			list := []string{}
			for text := range texts {
				if _, there := n[p][text]; there {
					list = append(list, text)
				}
			}
			slices.Sort(list)
			out[p] = list
		}
	}
	return out
}

// without is list but for what is in other.
func without(list, other []string) []string {
	has := map[string]bool{}
	for _, text := range other {
		has[text] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(text string) bool { return has[text] })
}

// are reports whether have is exactly the lines that are needed.
func (n needs) are(have lines) bool {
	if len(have) != len(n) {
		return false
	}
	for p, list := range have {
		if n[p] == nil || len(list) != len(n[p]) {
			return false
		}
		seen := make(map[string]bool, len(list))
		for _, text := range list {
			if _, needed := n[p][text]; !needed || seen[text] {
				return false
			}
			seen[text] = true
		}
		if ordered(p) && !slices.Equal(list, n.at(p)) {
			return false
		}
	}
	return true
}
