package network

import "fmt"

// A portTree spreads rules over chains by the port that was asked for, so that
// a new connection passes at most 64 + 16 + 64 of them for each protocol
// whatever their number is: the root has one jump for each 1,024 ports in use
// (XH-D4-9), that one for each 64 (XH-D6-9c), and there the rules are.
type portTree struct {
	rules  ruleset
	root   string
	letter string // in the names of the tree's chains
	match  string // the option that matches a range of ports
	jumps  map[string]bool
}

// add puts a rule for the forward's port into its leaf.
func (t portTree) add(f Forward, comment string, args ...string) {
	middle := fmt.Sprintf("%s%s4-%x", chainPrefix, t.letter, f.Port>>10)
	leaf := fmt.Sprintf("%s%s6-%x", chainPrefix, t.letter, f.Port>>6)
	t.jump(t.root, middle, f, 10)
	t.jump(middle, leaf, f, 6)
	t.rules.add(leaf, comment, args...)
}

// jump leads from one chain to the next for the forward's range of ports,
// once for each protocol.
func (t portTree) jump(from, to string, f Forward, shift int) {
	low := f.Port >> shift << shift
	high := low | (1<<shift - 1)
	module := string(f.Proto)
	if t.match != "--dport" {
		module = "conntrack"
	}
	text := fmt.Sprintf("%s%s ports %d to %d", mark, f.Proto, low, high)
	if t.jumps[text] {
		return
	}
	t.jumps[text] = true
	t.rules.add(from, text, "-p", string(f.Proto), "-m", module, t.match, fmt.Sprintf("%d:%d", low, high), "-j", to)
}
