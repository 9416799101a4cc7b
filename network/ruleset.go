package network

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Our chains begin with this; no other chain gets a rule from us, but for the
// anchors.
const chainPrefix = "XH-"

// A ruleset is one iptables table: the rules of its chains, in order. A chain
// without rules is there with an empty list.
type ruleset map[string][]rule

// add appends a rule and makes its chain if need be.
func (s ruleset) add(chain string, comment string, args ...string) {
	args = append(slices.Clone(args), "-m", "comment", "--comment", comment)
	if i := slices.Index(args, "-j"); i >= 0 { // the target comes last
		args = slices.Concat(args[:i], args[len(args)-4:], args[i:len(args)-4])
	}
	s[chain] = append(s[chain], rule{chain, args})
}

// parseSave reads what iptables-save prints: the tables by name.
func parseSave(text string) (map[string]ruleset, error) {
	tables := map[string]ruleset{}
	s := ruleset{} // lines before the first table lead nowhere
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "*"):
			if tables[line[1:]] == nil {
				tables[line[1:]] = ruleset{}
			}
			s = tables[line[1:]]
		case strings.HasPrefix(line, ":"):
			name, _, _ := strings.Cut(line[1:], " ")
			if _, ok := s[name]; !ok {
				s[name] = nil
			}
		case strings.HasPrefix(line, "-A "):
			w, err := words(line)
			if err != nil {
				return nil, err
			}
			if len(w) < 2 {
				return nil, fmt.Errorf("no chain in %q", line)
			}
			s[w[1]] = append(s[w[1]], rule{w[1], w[2:]})
		}
	}
	return tables, nil
}

// ours is the part of a table that is in our chains.
func (s ruleset) ours() ruleset {
	out := ruleset{}
	for chain, rules := range s {
		if strings.HasPrefix(chain, chainPrefix) {
			out[chain] = rules
		}
	}
	return out
}

// script is what iptables-restore --noflush needs to make our chains of a
// table as want says; it is empty if they are. Rules in our chains that lack
// our mark stay; one in a chain that has to go is ErrForeign. The order of
// rules in a chain of ours never matters.
func script(table string, have, want ruleset) (string, error) {
	var made, removed, added, dropped []string
	for _, chain := range slices.Sorted(maps.Keys(want)) {
		if _, ok := have[chain]; !ok {
			made = append(made, ":"+chain+" - [0:0]")
		}
	}
	all := ruleset{}
	maps.Copy(all, have)
	maps.Copy(all, want)
	for _, chain := range slices.Sorted(maps.Keys(all)) {
		_, stays := want[chain]
		gone, come, foreign := changes(have[chain], want[chain])
		switch {
		case !stays && foreign:
			return "", fmt.Errorf("chain %s holds a rule that we did not make: %w", chain, ErrForeign)
		case !stays:
			removed = append(removed, "-F "+chain)
			dropped = append(dropped, "-X "+chain)
		case !foreign && len(gone) > len(have[chain])/2:
			removed = append(removed, "-F "+chain)
			added = append(added, lines("-A", want[chain])...)
		default:
			removed = append(removed, lines("-D", gone)...)
			added = append(added, lines("-A", come)...)
		}
	}
	body := slices.Concat(made, removed, added, dropped)
	if len(body) == 0 {
		return "", nil
	}
	return "*" + table + "\n" + strings.Join(body, "\n") + "\nCOMMIT\n", nil
}

// changes compares the rules of one chain.
func changes(have, want []rule) (gone, come []rule, foreign bool) {
	wanted := map[string]int{}
	for _, r := range want {
		wanted[r.key()]++
	}
	for _, r := range have {
		key := r.key()
		if wanted[key] > 0 {
			wanted[key]--
		} else if _, _, ours := r.fact(); ours {
			gone = append(gone, r)
		} else {
			foreign = true
		}
	}
	for _, r := range want {
		if key := r.key(); wanted[key] > 0 {
			wanted[key]--
			come = append(come, r)
		}
	}
	return gone, come, foreign
}

func lines(verb string, rules []rule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, r.line(verb))
	}
	return out
}
