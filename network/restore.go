package network

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// restoreScript is what iptables-restore --noflush needs to make the lines of
// one table those after; it is empty if they are. Rules in our chains that lack
// our mark stay; one in a chain that has to go is ErrForeign.
func restoreScript(f family, table string, before, after lines) (string, error) {
	var made, removed, added, dropped []string
	all := map[place]bool{}
	for p := range before {
		all[p] = true
	}
	for p := range after {
		all[p] = true
	}
	for _, p := range slices.SortedFunc(maps.Keys(all), func(a, b place) int { return cmp.Compare(a.name, b.name) }) {
		if p.family != f || p.table != table {
			continue
		}
		have, exists := before[p]
		want, stays := after[p]
		own := strings.HasPrefix(p.name, chainPrefix)
		gone, come, foreign := changes(have, want)
		switch {
		case own && !stays && foreign:
			return "", fmt.Errorf("chain %s holds a rule that we did not make: %w", p.name, ErrForeign)
		case own && !stays:
			removed = append(removed, "-F "+p.name)
			dropped = append(dropped, "-X "+p.name)
			continue
		case own && !exists:
			made = append(made, ":"+p.name+" - [0:0]")
		case own && !foreign && ordered(p) && !slices.Equal(have, want):
			removed = append(removed, "-F "+p.name)
			gone, come = nil, slices.DeleteFunc(slices.Clone(want), notOurs)
		}
		for _, text := range gone {
			removed = append(removed, "-D "+p.name+" "+text)
		}
		verb := "-A " + p.name + " "
		if !own {
			verb = "-I " + p.name + " 1 "
		}
		for _, text := range come {
			added = append(added, verb+text)
		}
	}
	body := slices.Concat(made, removed, added, dropped)
	if len(body) == 0 {
		return "", nil
	}
	return "*" + table + "\n" + strings.Join(body, "\n") + "\nCOMMIT\n", nil
}

// notOurs reports whether a rule lacks our mark.
func notOurs(text string) bool {
	_, ours := comment(text)
	return !ours
}

// keeping adds to lines that are to be the foreign ones that stay there.
func (l lines) keeping(have lines) lines {
	out := maps.Clone(l)
	for p, list := range have {
		stay := slices.DeleteFunc(slices.Clone(list), func(text string) bool { return !notOurs(text) })
		if _, stays := l[p]; stays && len(stay) > 0 {
			out[p] = slices.Concat(l[p], stay)
		}
	}
	return out
}

// changes compares the rules of one chain that carry our mark; foreign says
// whether there are others.
func changes(have, want []string) (gone, come []string, foreign bool) {
	left := map[string]int{}
	for _, text := range want {
		left[text]++
	}
	for _, text := range have {
		if notOurs(text) {
			foreign = true
		} else if left[text] > 0 {
			left[text]--
		} else {
			gone = append(gone, text)
		}
	}
	for _, text := range want {
		if !notOurs(text) && left[text] > 0 {
			left[text]--
			come = append(come, text)
		}
	}
	return gone, come, foreign
}

// inWords gives the lines that were read the words in which they are wanted,
// where they mean the same.
func (l lines) inWords(want needs) {
	for p, list := range l {
		byKey := map[string]string{}
		for i, text := range list {
			if _, known := want[p][text]; known {
				continue
			}
			if len(byKey) == 0 {
				for text := range want[p] {
					byKey[ruleKey(text)] = text
				}
			}
			if same, ok := byKey[ruleKey(text)]; ok {
				list[i] = same
			}
		}
	}
}
