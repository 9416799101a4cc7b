package cpuid

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
)

// Host is what the CPUs of a host have to give.
type Host struct {
	Vendor string
	Max    map[xen.Type]Set // what a domain can be given
	Usual  map[xen.Type]Set // what it is given if nothing else is said
	// MaxLeaf is the highest of the basic leaves that a domain can have.
	MaxLeaf map[xen.Type]uint32
}

// Read asks the xen-cpuid of a dom0. tool is its path; "" looks for it in this
// dom0 where Debian, and Xen itself, put it: below /usr/lib/xen*/bin and in
// /usr/sbin.
func Read(ctx context.Context, r dom0.Runner, tool string) (Host, error) {
	tool, err := find(tool)
	if err != nil {
		return Host{}, err
	}
	sets, err := dom0.Output(ctx, r, tool)
	if err != nil {
		return Host{}, fmt.Errorf("cpuid: %w", err)
	}
	policies, err := dom0.Output(ctx, r, tool, "-p")
	if err != nil {
		return Host{}, fmt.Errorf("cpuid: %w", err)
	}
	return ParseHost(string(sets), string(policies))
}

// ParseHost reads what xen-cpuid and xen-cpuid -p print.
func ParseHost(sets, policies string) (Host, error) {
	all, err := ParseSets(sets)
	if err != nil {
		return Host{}, err
	}
	said, err := ParsePolicies(policies)
	if err != nil {
		return Host{}, err
	}
	h := Host{Vendor: said["Host"].Vendor(), Max: make(map[xen.Type]Set), Usual: make(map[xen.Type]Set), MaxLeaf: make(map[xen.Type]uint32)}
	if h.Vendor == "" {
		return Host{}, errors.New("cpuid: xen-cpuid -p does not tell the vendor")
	}
	for typ, name := range map[xen.Type]string{xen.PV: "PV", xen.PVH: "HVM", xen.HVM: "HVM"} {
		for suffix, into := range map[string]map[xen.Type]Set{" Max": h.Max, " Default": h.Usual} {
			set, ok := all[name+suffix]
			if !ok {
				return Host{}, fmt.Errorf("cpuid: xen-cpuid shows no set %s%s", name, suffix)
			}
			into[typ] = set
		}
		most, ok := said[name+" Max"]
		if !ok {
			return Host{}, fmt.Errorf("cpuid: xen-cpuid -p shows no policy %s Max", name)
		}
		h.MaxLeaf[typ] = most.MaxLeaf()
	}
	return h, nil
}

// ReadDomain asks for the policy of a running domain; tool is as for Read.
func ReadDomain(ctx context.Context, r dom0.Runner, tool string, domid int) (Policy, error) {
	tool, err := find(tool)
	if err != nil {
		return Policy{}, err
	}
	out, err := dom0.Output(ctx, r, tool, "-p", strconv.Itoa(domid))
	if err != nil {
		return Policy{}, fmt.Errorf("cpuid: %w", err)
	}
	policies, err := ParsePolicies(string(out))
	if err != nil {
		return Policy{}, err
	}
	p, ok := policies["Domain "+strconv.Itoa(domid)]
	if !ok {
		return Policy{}, fmt.Errorf("cpuid: xen-cpuid -p does not show domid %d", domid)
	}
	return p, nil
}

func find(tool string) (string, error) {
	if tool != "" {
		return tool, nil
	}
	for _, pattern := range []string{"/usr/sbin/xen-cpuid", "/usr/lib/xen*/bin/xen-cpuid", "/usr/libexec/xen/bin/xen-cpuid"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[len(found)-1], nil // of two releases the newer
		}
	}
	return "", errors.New("cpuid: there is no xen-cpuid in this dom0")
}

// MissingError says what a host lacks. It matches errors.ErrUnsupported.
type MissingError struct {
	Vendor  string // the CPU that the domain was started on, if it is another vendor's
	Leaf    uint32 // the domain's highest leaf, if it is above the host's
	Missing []Feature
}

// Error reads as "the CPU of the host lacks avx2, rdrand".
func (e *MissingError) Error() string {
	if e.Vendor != "" {
		return "the domain was started on a CPU of another vendor: " + strconv.Quote(e.Vendor)
	}
	var all []string
	if e.Leaf != 0 {
		all = append(all, fmt.Sprintf("leaf 0x%x", e.Leaf))
	}
	for _, f := range e.Missing {
		all = append(all, f.String())
	}
	return "the CPU of the host lacks " + strings.Join(all, ", ")
}

// Unwrap returns errors.ErrUnsupported.
func (e *MissingError) Unwrap() error { return errors.ErrUnsupported }

// Takes says whether a domain of type t that sees p can go on here; if not, the
// error is a *MissingError. Xen itself looks at little more than the highest
// leaf, and takes away silently what it has not.
func (h Host) Takes(t xen.Type, p Policy) error {
	if vendor := p.Vendor(); vendor != h.Vendor {
		return &MissingError{Vendor: vendor}
	}
	words := slices.Sorted(maps.Keys(h.Max[t]))
	lacks := MissingError{Missing: p.Set(words...).Minus(h.Max[t])}
	if leaf := p.MaxLeaf(); leaf > h.MaxLeaf[t] {
		lacks.Leaf = leaf
	}
	if len(lacks.Missing) > 0 || lacks.Leaf != 0 {
		return &lacks
	}
	return nil
}
