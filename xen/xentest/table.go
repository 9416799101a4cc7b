package xentest

import (
	"fmt"
	"strings"

	"github.com/xenhost/xenhost/xen"
)

// String prints the host as xl list does, without dom0 and times.
func (f *Fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off {
		return f.opts.Hostname + " is switched off\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-24s %5s %6s %5s  %s\n", "Name", "ID", "Mem", "VCPUs", "State")
	for _, d := range f.views() {
		fmt.Fprintf(&b, "%-24s %5d %6d %5d  %s\n", d.Name, d.ID, d.Memory>>20, d.VCPUs, letters(d))
	}
	return b.String()
}

// letters is xl's State column.
func letters(d xen.Domain) string {
	switch d.State {
	case xen.Running:
		return "r-----"
	case xen.Paused:
		return "--p---"
	case xen.Stopped, xen.Suspended:
		switch d.Reason {
		case xen.Reboot:
			return "---sr-"
		case xen.Suspend:
			return "---ss-"
		}
		return "---s--"
	case xen.Crashed:
		return "---sc-"
	case xen.Dying:
		return "-----d"
	}
	return "------"
}
