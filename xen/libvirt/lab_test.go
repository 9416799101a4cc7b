package libvirt_test

import (
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// TestLabFull runs TestLive in the dom0 of a real Xen host.
func TestLabFull(t *testing.T) {
	curacao := xenlab.StartFull(t, "curacao").MustHost(t, "curacao")
	r := curacao.Test(t, "github.com/xenhost/xenhost/xen/libvirt", &xenlab.TestOptions{Run: "TestLive", Timeout: 30 * time.Minute})
	t.Logf("RESULT libvirt in dom0: %d passed, %d failed, skipped %v", r.Passed, r.Failed, r.Skipped)
}
