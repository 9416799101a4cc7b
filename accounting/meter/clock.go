package meter

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/accounting"
)

// Clock is the host's: its boot by the kernel's random name for it, the time
// since then (CLOCK_BOOTTIME), and the wall clock.
func Clock() (accounting.Moment, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return accounting.Moment{}, err
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return accounting.Moment{}, err
	}
	return accounting.Moment{Boot: strings.TrimSpace(string(id)), Uptime: time.Duration(up.Nano()), Time: time.Now()}, nil
}
