package cpuid

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// ParseSets reads what xen-cpuid prints without arguments and returns its
// dynamic sets, which are those of this host, by name: Raw, Host, PV Default,
// HVM Default, PV Max, HVM Max.
func ParseSets(text string) (map[string]Set, error) {
	var words []string
	sets := make(map[string]Set)
	dynamic := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "KEY "):
			words = strings.Fields(line)[1:]
			for _, word := range words {
				if _, ok := placeOf(word); !ok {
					return nil, fmt.Errorf("cpuid: xen-cpuid has a word %q", word)
				}
			}
		case line == "Dynamic sets:":
			dynamic = true
		case dynamic && line != "":
			at := strings.LastIndex(line, " ")
			if at < 0 || strings.HasSuffix(line, " not supported by Xen") {
				continue
			}
			set, err := readSet(words, line[at+1:])
			if err != nil {
				return nil, err
			}
			sets[strings.TrimSpace(line[:at])] = set
		}
	}
	if len(sets) == 0 {
		return nil, fmt.Errorf("cpuid: xen-cpuid shows no sets of this host: %.80q", text)
	}
	return sets, nil
}

func readSet(words []string, text string) (Set, error) {
	values := strings.Split(text, ":")
	if len(values) > len(words) {
		return nil, fmt.Errorf("cpuid: xen-cpuid has %d values for %d words", len(values), len(words))
	}
	set := Set{}
	for i, value := range values {
		n, err := strconv.ParseUint(value, 16, 32)
		if err != nil || len(value) != 8 {
			return nil, fmt.Errorf("cpuid: xen-cpuid has a value %q", value)
		}
		set[words[i]] = uint32(n)
	}
	return set, nil
}

// Policy is what a domain sees of its CPU, or a host has to give.
type Policy struct {
	Leaves []Leaf
	MSRs   map[uint32]uint64
}

// Leaf is one answer of the instruction CPUID.
type Leaf struct {
	Leaf    uint32
	Subleaf int       // -1: it has none
	Regs    [4]uint32 // EAX to EDX
}

var (
	policyHead = regexp.MustCompile(`^(.+) policy: \d+ leaves, \d+ MSRs$`)
	leafRow    = regexp.MustCompile(`^([0-9a-f]{8}):([0-9a-f]{8}) -> ([0-9a-f]{8}):([0-9a-f]{8}):([0-9a-f]{8}):([0-9a-f]{8})$`)
	msrRow     = regexp.MustCompile(`^([0-9a-f]{8}) -> ([0-9a-f]{16})$`)
)

// ParsePolicies reads what xen-cpuid -p prints: of the host by name (Raw, Host,
// PV Max, ...), of domain 5 as "Domain 5".
func ParsePolicies(text string) (map[string]Policy, error) {
	policies := make(map[string]Policy)
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := policyHead.FindStringSubmatch(line); m != nil {
			name = m[1]
			policies[name] = Policy{MSRs: make(map[uint32]uint64)}
			continue
		}
		p, begun := policies[name]
		if m := leafRow.FindStringSubmatch(line); m != nil && begun {
			n := hexes(m[1:])
			leaf := Leaf{Leaf: n[0], Subleaf: int(int32(n[1])), Regs: [4]uint32(n[2:])}
			p.Leaves = append(p.Leaves, leaf)
			policies[name] = p
		} else if m := msrRow.FindStringSubmatch(line); m != nil && begun {
			value, _ := strconv.ParseUint(m[2], 16, 64)
			p.MSRs[hexes(m[1:2])[0]] = value
		} else if strings.Contains(line, "->") && !strings.HasPrefix(line, "leaf ") && !strings.HasPrefix(line, "index ") {
			return nil, fmt.Errorf("cpuid: xen-cpuid -p has a row %.80q", line)
		}
	}
	if len(policies) == 0 {
		return nil, fmt.Errorf("cpuid: xen-cpuid -p shows no policy: %.80q", text)
	}
	return policies, nil
}

// hexes reads what a regular expression has found to be numbers of 32 bits.
func hexes(words []string) []uint32 {
	var all []uint32
	for _, w := range words {
		n, _ := strconv.ParseUint(w, 16, 32)
		all = append(all, uint32(n))
	}
	return all
}

// copied are the bits of word e1d that on AMD's CPUs repeat those of 1d. A domain
// sees them there; the sets of a host do not have them twice (CPUID_COMMON_1D_FEATURES
// in Xen, see recalculate_misc in xen/arch/x86/cpu-policy.c).
const copied = 0x0183f3ff

// Set returns the features among what the policy says: of each of these words.
// What AMD's CPUs tell a second time is not in it, as in the sets of a host.
func (p Policy) Set(words ...string) Set {
	set := Set{}
	for _, word := range words {
		at, ok := placeOf(word)
		switch {
		case !ok:
		case at.msr != 0:
			value := p.MSRs[at.msr]
			if at.high {
				value >>= 32
			}
			set[word] = uint32(value)
		default:
			for _, l := range p.Leaves {
				if l.Leaf == at.leaf && l.Subleaf == at.subleaf {
					set[word] = l.Regs[at.register]
					if word == "e1d" {
						set[word] &^= copied
					}
				}
			}
		}
	}
	return set
}

// MaxLeaf is the highest basic leaf, as leaf 0 tells it.
func (p Policy) MaxLeaf() uint32 {
	for _, l := range p.Leaves {
		if l.Leaf == 0 {
			return l.Regs[0]
		}
	}
	return 0
}

// Vendor is the name in leaf 0, as GenuineIntel, or "" if there is none.
func (p Policy) Vendor() string {
	for _, l := range p.Leaves {
		if l.Leaf == 0 {
			var name []byte
			for _, reg := range []int{1, 3, 2} {
				for shift := 0; shift < 32; shift += 8 {
					name = append(name, byte(l.Regs[reg]>>shift))
				}
			}
			return string(name)
		}
	}
	return ""
}
