package networktest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/xenhost/xenhost/network"
)

// String prints the simulated host: its bridges with everything in them, then
// what we keep there.
func (f *Fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, name := range names(f.bridges) {
		br := f.bridges[name]
		whose := "by hand"
		if br.ours {
			whose = "ours"
		}
		fmt.Fprintf(&b, "%s (%s)%s%s\n", name, whose, list(slices.Sorted(maps.Keys(br.ports))),
			list(slices.SortedFunc(maps.Keys(br.addresses), netip.Prefix.Compare)))
	}
	s := f.ours
	s.Bridges = nil
	for _, l := range f.links {
		l.read(&s)
	}
	for _, step := range network.Diff(network.State{}, s).Steps {
		b.WriteString(step.What + "\n")
	}
	return b.String()
}

func list[T any](items []T) string {
	var b strings.Builder
	for _, i := range items {
		fmt.Fprintf(&b, " %v", i)
	}
	return b.String()
}
