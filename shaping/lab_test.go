package shaping_test

import (
	"testing"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// TestLabFull runs what needs no real time in the dom0 of a real Xen host,
// whose kernel has other queues than most machines that run tests.
func TestLabFull(t *testing.T) {
	lab := xenlab.StartFull(t, "curacao")
	r := lab.MustHost(t, "curacao").Test(t, "github.com/xenhost/xenhost/shaping",
		&xenlab.TestOptions{Run: "TestLinux|TestKeep|TestRepair|TestRulesetLoadsAgain|TestRouted|TestFairQueues"})
	t.Logf("RESULT shaping in dom0: %d passed, %d failed, skipped %v", r.Passed, r.Failed, r.Skipped)
}
