package xen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxCPUs bounds the numbers in a CPUSet.
const MaxCPUs = 4096

// CPUSet are CPUs of a host by number, in order, each once. nil is all.
type CPUSet []int

// ParseCPUs reads what xl prints and takes: all, none, or numbers and ranges
// with commas, as 0-3,5. (xl's other words, nodes: and ^, are refused.)
func ParseCPUs(s string) (CPUSet, error) {
	switch s {
	case "all":
		return nil, nil
	case "none":
		return CPUSet{}, nil
	}
	set := CPUSet{}
	for part := range strings.SplitSeq(s, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		a, errA := cpuNumber(first)
		b, errB := cpuNumber(last)
		if errA != nil || errB != nil || a > b {
			return nil, &FieldError{Field: "cpus", Value: s[:min(len(s), 64)], Why: "is no list of CPUs, as 0-3,5"}
		}
		for n := a; n <= b; n++ {
			set = append(set, n)
		}
	}
	slices.Sort(set)
	return slices.Compact(set), nil
}

func cpuNumber(s string) (int, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.Atoi(s)
	if err == nil && n >= MaxCPUs {
		err = strconv.ErrRange
	}
	return n, err
}

// String is what ParseCPUs reads.
func (s CPUSet) String() string {
	if s == nil {
		return "all"
	}
	if len(s) == 0 {
		return "none"
	}
	var parts []string
	for i := 0; i < len(s); {
		j := i
		for j+1 < len(s) && s[j+1] == s[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, strconv.Itoa(s[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", s[i], s[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// On returns the CPUs of s that a host with n CPUs has, written out.
func (s CPUSet) On(n int) CPUSet {
	on := CPUSet{}
	for cpu := range n {
		if s == nil || slices.Contains(s, cpu) {
			on = append(on, cpu)
		}
	}
	return on
}

// Validate tells whether a vCPU can be restricted to s on a host with n CPUs.
func (s CPUSet) Validate(n int) error {
	ordered := slices.IsSorted(s) && len(slices.Compact(slices.Clone(s))) == len(s)
	if s != nil && (len(s) == 0 || !ordered || s[0] < 0 || s[len(s)-1] >= n) {
		return &FieldError{Field: "cpus", Value: fmt.Sprint([]int(s)[:min(len(s), 16)]), Why: fmt.Sprintf("must be numbers below %d, in order, each once", n)}
	}
	return nil
}
