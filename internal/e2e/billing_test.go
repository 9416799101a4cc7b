package e2e

import (
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// TestBillingFull is the life of an order on one real host, and ten orders at the
// same moment for the memory of five.
func TestBillingFull(t *testing.T) {
	h := xenlab.StartFull(t).MustHost(t, "curacao")
	for _, s := range []struct{ pkg, run string }{{"xen/host/billing", "^TestDom0$"}, {"xen/host", "^TestDom0TenAtOnce$"}} {
		t.Run(s.pkg, func(t *testing.T) {
			r := h.Test(t, "github.com/xenhost/xenhost/"+s.pkg, &xenlab.TestOptions{Run: s.run, Timeout: 30 * time.Minute})
			t.Logf("RESULT %s in dom0: %d passed, %d failed, skipped %v", s.pkg, r.Passed, r.Failed, r.Skipped)
		})
	}
}
