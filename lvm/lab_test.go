package lvm_test

import (
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

const (
	thisPackage = "github.com/xenhost/xenhost/lvm"
	devices     = "TestDom0(Content|TwoWipers|CrashInWipe|CrashInGrow|GrowIsRobbed|KilledInChanged|FillWithoutLock|LostWrites|LostRooms)"
)

// TestLabFull runs in the dom0 of a real Xen host all that needs devices; each
// lvm command takes a second or two there, so every change runs a share of it
// only, in internal/e2e. What needs no device runs on real lvm2 in tier lvm.
func TestLabFull(t *testing.T) {
	curacao := xenlab.StartFull(t, "curacao").MustHost(t, "curacao")
	curacao.Test(t, thisPackage, &xenlab.TestOptions{Run: devices, Timeout: 50 * time.Minute})
}
