package cpuid

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/xenhost/xenhost/xen"
)

// archCaps is the bit of word 7d0 without which a guest does not look at the MSRs that
// tell more features; what is in them can not be hidden bit by bit.
const archCaps = 29

// Level returns the lines of Spec.CPUID with which a domain of type t, started
// on any of these hosts, can go on at each of the others. None are needed where
// the hosts are alike. Bits are named by their place, as the names that xl knows
// differ between its releases, and an unknown one is only a warning to it.
//
// Hosts of different vendors can not be levelled: *MissingError.
func Level(t xen.Type, hosts ...Host) ([]string, error) {
	if len(hosts) == 0 {
		return nil, errors.New("cpuid: no hosts to level")
	}
	usual, common := Set{}, hosts[0].Max[t]
	least, most := hosts[0].MaxLeaf[t], uint32(0)
	for _, h := range hosts {
		if h.Vendor != hosts[0].Vendor {
			return nil, &MissingError{Vendor: h.Vendor}
		}
		usual = usual.or(h.Usual[t])
		common = common.and(h.Max[t])
		least, most = min(least, h.MaxLeaf[t]), max(most, h.MaxLeaf[t])
	}
	lines := hide(usual.Minus(common))
	if least < most {
		lines = append([]string{fmt.Sprintf("0x0:eax=%032b", least)}, lines...)
	}
	return lines, nil
}

// hide makes the lines: a register is 32 characters from bit 31 to bit 0, 0 for
// what is hidden and x for what stays as Xen has it.
func hide(features []Feature) []string {
	type leaf struct {
		leaf    uint32
		subleaf int
	}
	masks := make(map[leaf]map[int]uint32)
	for _, f := range features {
		at, ok := placeOf(f.Word)
		if ok && at.msr != 0 {
			f = Feature{"7d0", archCaps}
			at, ok = placeOf(f.Word)
		}
		if !ok {
			continue // ParseSets knows no such word
		}
		l := leaf{at.leaf, at.subleaf}
		if masks[l] == nil {
			masks[l] = make(map[int]uint32)
		}
		masks[l][at.register] |= 1 << f.Bit
	}
	var lines []string
	for l, registers := range masks {
		line := fmt.Sprintf("0x%x", l.leaf)
		if l.subleaf >= 0 {
			line += fmt.Sprintf(",%d", l.subleaf)
		}
		sep := ":"
		for _, r := range slices.Sorted(maps.Keys(registers)) {
			line += sep + "e" + string(rune('a'+r)) + "x=" + bits(registers[r])
			sep = ","
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func bits(mask uint32) string {
	var b strings.Builder
	for bit := 31; bit >= 0; bit-- {
		if mask>>bit&1 != 0 {
			b.WriteByte('0')
		} else {
			b.WriteByte('x')
		}
	}
	return b.String()
}
