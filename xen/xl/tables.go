package xl

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/xenhost/xenhost/xen"
)

// body returns the lines of a table below its head, which begins with first.
func body(what, table, first string) ([]string, error) {
	head, rest, _ := strings.Cut(table, "\n")
	if !strings.HasPrefix(head, first) {
		return nil, fmt.Errorf("%s begins with %q", what, head[:min(len(head), 80)])
	}
	rest = strings.TrimSuffix(rest, "\n")
	if rest == "" {
		return nil, nil
	}
	return strings.Split(rest, "\n"), nil
}

// parseBlocks reads xl block-list and returns the names of the disks; the
// table has their numbers (xen-vbd-interface(7)).
func parseBlocks(table string) ([]string, error) {
	lines, err := body("xl block-list", table, "Vdev ")
	var devs []string
	for _, line := range lines {
		number, _, _ := strings.Cut(line, " ")
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("xl block-list: %q", line)
		}
		devs = append(devs, vdev(int(n)))
	}
	return devs, err
}

// vdev is the name of a whole disk by its number; others keep the number.
func vdev(n int) string {
	switch {
	case n>>8 == 202 && n&0xf == 0:
		return "xvd" + string(rune('a'+n>>4&0xf))
	case n == 3<<8, n == 3<<8|64:
		return "hd" + string(rune('a'+n>>6&1))
	case n == 22<<8, n == 22<<8|64:
		return "hd" + string(rune('c'+n>>6&1))
	}
	return strconv.Itoa(n)
}

// parseNICs reads xl network-list and returns the addresses of the vifs.
func parseNICs(table string) ([]xen.MAC, error) {
	lines, err := body("xl network-list", table, "Idx ")
	var macs []xen.MAC
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			return nil, fmt.Errorf("xl network-list: %q", line)
		}
		mac, err := xen.ParseMAC(fields[2])
		if err != nil {
			return nil, fmt.Errorf("xl network-list: %w", err)
		}
		macs = append(macs, mac)
	}
	return macs, err
}

// vcpuRow is one line of xl vcpu-list, read from the right as the name can hold
// anything.
var vcpuRow = regexp.MustCompile(`\s(\d+)\s+(-|\d+)\s+[-rbp]{3}\s+(\d+\.\d)\s+(\S+) / (\S+)$`)

// parseVCPUs reads xl vcpu-list of one domain.
func parseVCPUs(table string) ([]xen.VCPU, error) {
	lines, err := body("xl vcpu-list", table, "Name ")
	var vcpus []xen.VCPU
	for _, line := range lines {
		m := vcpuRow.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("xl vcpu-list: %q", line)
		}
		n, err := strconv.Atoi(m[1])
		seconds, errTime := strconv.ParseFloat(m[3], 64)
		if err != nil || errTime != nil || n != len(vcpus) || seconds > 1e9 {
			return nil, fmt.Errorf("xl vcpu-list: %q", line)
		}
		v := xen.VCPU{Number: n, Online: m[2] != "-", CPUTime: time.Duration(seconds*10+0.5) * (time.Second / 10)}
		if v.Hard, err = xen.ParseCPUs(m[4]); err == nil {
			v.Soft, err = xen.ParseCPUs(m[5])
		}
		if err != nil {
			return nil, fmt.Errorf("xl vcpu-list: %w", err)
		}
		vcpus = append(vcpus, v)
	}
	return vcpus, err
}

// parseShare reads xl sched-credit2 -d of one domain: its last two columns.
func parseShare(table string) (s xen.Share, err error) {
	lines, err := body("xl sched-credit", table, "Name ")
	if err != nil {
		return s, err
	}
	if len(lines) != 1 {
		return s, fmt.Errorf("xl sched-credit shows %d domains", len(lines))
	}
	fields := strings.Fields(lines[0])
	if len(fields) >= 3 {
		s.Weight, err = strconv.Atoi(fields[len(fields)-2])
		if err == nil {
			s.Cap, err = strconv.Atoi(fields[len(fields)-1])
		}
	}
	if len(fields) < 3 || err != nil || s.Weight < 0 || s.Cap < 0 {
		return xen.Share{}, fmt.Errorf("xl sched-credit: %q", lines[0])
	}
	return s, nil
}
