package xenlab

import (
	"fmt"
	"strings"
)

// Files of the lab guest in each dom0, for PV and PVH domains. A PVH guest
// needs tsc_mode="native" here. The kernel is dom0's, unpacked; as Debian
// packs it, it is /lab/vmlinuz.
const (
	GuestKernel  = "/lab/vmlinux"
	GuestRamdisk = "/lab/guest.img"
)

// Guest is what the lab guest is told by its kernel's command line. The zero
// value of a field leaves the word out; package main of internal/lab/guest
// says what each does.
type Guest struct {
	Name    string // in answers and acknowledgements
	IP      string // with the length of the prefix: 192.168.0.10/24
	Gateway string
	Ack     string // address and port of an Observer: Observer.Addr
	Rate    int    // records a second
	Dirty   int    // bytes of memory a second
}

// Args returns the kernel arguments.
func (g Guest) Args() string {
	words := []string{"console=hvc0"}
	for _, w := range []struct {
		key   string
		value any
	}{{"g.name", g.Name}, {"g.ip", g.IP}, {"g.gw", g.Gateway}, {"g.ack", g.Ack}, {"g.rate", g.Rate}, {"g.dirty", g.Dirty}} {
		if w.value != "" && w.value != 0 {
			words = append(words, fmt.Sprintf("%s=%v", w.key, w.value))
		}
	}
	return strings.Join(words, " ")
}
