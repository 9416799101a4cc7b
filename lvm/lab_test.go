package lvm_test

import (
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

const thisPackage = "github.com/xenhost/xenhost/lvm"

// TestLabFull runs in the dom0s of two real Xen hosts, at once, all that needs
// devices; each lvm command takes a second or two there, so every change runs a
// share of it only, in internal/e2e. What needs no device runs on real lvm2 in
// tier lvm.
func TestLabFull(t *testing.T) {
	lab := xenlab.StartFull(t)
	for name, parts := range map[string][]string{
		"curacao": {"CrashInWipe", "CrashInGrow", "LostWrites", "LostRooms"},
		"islay":   {"Content", "TwoWipers", "GrowIsRobbed", "KilledInChanged", "FillWithoutLock"},
	} {
		host := lab.MustHost(t, name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, part := range parts {
				t.Run(part, func(t *testing.T) {
					r := host.Test(t, thisPackage, &xenlab.TestOptions{Run: "^TestDom0" + part + "$", Timeout: 40 * time.Minute})
					t.Logf("RESULT lvm in dom0: %s: %d passed, %d failed, skipped %v", part, r.Passed, r.Failed, r.Skipped)
				})
			}
		})
	}
}
