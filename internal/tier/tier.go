// Package tier switches tests that need more than Go: XENHOST_TIERS names, with
// commas, the tiers that must run.
//
// A tier that is not named is skipped with a word on how to switch it on. A
// tier that is named must run: a test of it that can not run fails.
package tier

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Env is the switch: XENHOST_TIERS=netns,lvm,lab go test ./...
const Env = "XENHOST_TIERS"

// A Tier is what a test needs beyond Go.
type Tier string

const (
	NetNS   Tier = "netns"    // root and network namespaces
	LVM     Tier = "lvm"      // root, lvm2 and a loop device (metadata only, no device-mapper)
	Libvirt Tier = "libvirt"  // libvirtd (libvirt-daemon), started by the test for itself; no root
	Lab     Tier = "lab"      // real Xen hosts under QEMU (internal/lab): what every change must pass
	LabFull Tier = "lab-full" // the whole lab, run before work is called done; includes lab
	Dom0    Tier = "dom0"     // this process runs in the dom0 of a lab host; internal/lab sets it
)

// Demanded reports whether XENHOST_TIERS names t.
func Demanded(t Tier) bool {
	named := strings.Split(os.Getenv(Env), ",")
	return slices.Contains(named, string(t)) || t == Lab && slices.Contains(named, string(LabFull))
}

// Require lets the test go on if t is demanded and skips it otherwise.
func Require(tb testing.TB, t Tier) {
	tb.Helper()
	if !Demanded(t) {
		tb.Skipf("tier %s is off: switch it on with %s=%s (as root)", t, Env, t)
	}
}

// CanNot ends a test that lacks something of t: it fails where t is demanded,
// and is skipped otherwise.
func CanNot(tb testing.TB, t Tier, reason string) {
	tb.Helper()
	if Demanded(t) {
		tb.Fatalf("tier %s is demanded and can not run: %s", t, reason)
	}
	tb.Skipf("tier %s can not run: %s", t, reason)
}
