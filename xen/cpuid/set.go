package cpuid

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
)

// Set is a set of features: 32 bits for each word of Xen's list of words. A
// word that is not there is 0, as in the set of an older Xen. Words are called
// as xen-cpuid calls them: 7b0 is register EBX of leaf 7, subleaf 0, e8b EBX of
// leaf 0x80000008, m10Al the lower half of MSR 0x10a.
type Set map[string]uint32

// Feature is one bit of a Set.
type Feature struct {
	Word string
	Bit  int
}

// String is the feature's name in the manuals of Intel and AMD, in small
// letters, or its place, as 7d0:13.
func (f Feature) String() string {
	if name := names()[f.Word]; f.Bit < len(name) && name[f.Bit] != "" {
		return name[f.Bit]
	}
	return fmt.Sprintf("%s:%d", f.Word, f.Bit)
}

// Minus returns the features of s that other lacks, in order.
func (s Set) Minus(other Set) []Feature {
	var missing []Feature
	for _, word := range slices.Sorted(maps.Keys(s)) {
		for bit := range 32 {
			if s[word]&^other[word]>>bit&1 != 0 {
				missing = append(missing, Feature{word, bit})
			}
		}
	}
	return missing
}

// or returns what s or other has.
func (s Set) or(other Set) Set {
	sum := maps.Clone(s)
	if sum == nil {
		sum = Set{}
	}
	for word, bits := range other {
		sum[word] |= bits
	}
	return sum
}

// and returns what both have.
func (s Set) and(other Set) Set {
	both := Set{}
	for word, bits := range s {
		both[word] = bits & other[word]
	}
	return both
}

// place is where a word is read: a register of a leaf, or half an MSR.
type place struct {
	leaf     uint32
	subleaf  int // -1: the leaf has none
	register int // 0 to 3 for EAX to EDX
	msr      uint32
	high     bool
}

var (
	leafWord = regexp.MustCompile(`^(e?)([0-9A-F]{1,4})([a-d])([0-9]?)$`)
	msrWord  = regexp.MustCompile(`^m([0-9A-F]{1,8})([lh])$`)
)

// placeOf reads the name of a word.
func placeOf(word string) (place, bool) {
	if m := leafWord.FindStringSubmatch(word); m != nil {
		n, _ := strconv.ParseUint(m[2], 16, 16)
		p := place{leaf: uint32(n), subleaf: -1, register: int(m[3][0] - 'a')}
		if m[1] != "" {
			p.leaf |= 0x80000000
		}
		if m[4] != "" {
			p.subleaf = int(m[4][0] - '0')
		}
		return p, true
	}
	if m := msrWord.FindStringSubmatch(word); m != nil {
		n, err := strconv.ParseUint(m[1], 16, 32)
		return place{msr: uint32(n), high: m[2] == "h"}, err == nil && n != 0
	}
	return place{}, false
}
