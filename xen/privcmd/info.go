package privcmd

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen"
)

// infoSize is that of struct xen_domctl_getdomaininfo on x86 in version 0x15 of
// the sysctl interface.
const infoSize = 112

// Bits of its flags.
const (
	flagDying    = 1 << 0
	flagShutdown = 1 << 2
	flagPaused   = 1 << 3
)

const pageSize = 4096

// parse reads one struct; b has infoSize bytes.
//
//	0 domid  4 flags  8 pages  56 CPU time in ns  64 vCPUs online  76 UUID
func parse(b []byte) xen.Domain {
	d := xen.Domain{
		ID:      int(binary.LittleEndian.Uint16(b)),
		Memory:  int64(min(binary.LittleEndian.Uint64(b[8:]), 1<<50/pageSize)) * pageSize,
		CPUTime: time.Duration(min(binary.LittleEndian.Uint64(b[56:]), 1<<63-1)),
		VCPUs:   int(binary.LittleEndian.Uint32(b[64:])),
		UUID:    uuid.UUID(b[76:92]),
	}
	d.State, d.Reason = state(binary.LittleEndian.Uint32(b[4:]), d)
	return d
}

// state is what xl makes of the same flags. A domain without memory or vCPUs is
// being built.
func state(flags uint32, d xen.Domain) (xen.State, xen.Reason) {
	var reason xen.Reason
	if flags&flagShutdown != 0 {
		reason = map[uint32]xen.Reason{
			0: xen.Poweroff, 1: xen.Reboot, 2: xen.Suspend, 3: xen.Crash, 4: xen.Watchdog, 5: xen.SoftReset,
		}[flags>>16&0xff]
	}
	switch {
	case flags&flagDying != 0:
		return xen.Dying, reason
	case reason == xen.Suspend:
		return xen.Suspended, reason
	case reason == xen.Crash || reason == xen.Watchdog:
		return xen.Crashed, reason
	case flags&flagShutdown != 0:
		return xen.Stopped, reason
	case d.Memory == 0 || d.VCPUs == 0:
		return xen.Building, ""
	case flags&flagPaused != 0:
		return xen.Paused, ""
	}
	return xen.Running, ""
}
