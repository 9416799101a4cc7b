package libvirt_test

import (
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// TestLabFull runs the live tests in the dom0 of a real Xen host, each part by
// itself.
func TestLabFull(t *testing.T) {
	curacao := xenlab.StartFull(t, "curacao").MustHost(t, "curacao")
	for _, part := range []struct{ name, run string }{
		{"residue", "TestResidueLive"},
		{"PVH", "TestRolesLive/^PVH"},
		{"HVM", "TestRolesLive/^HVM"},
		{"PV", "TestRolesLive/^PV$"},
		{"rest", "TestRolesLive/^(features|absent)"},
		{"domains", "TestLive"},
	} {
		t.Run(part.name, func(t *testing.T) {
			r := curacao.Test(t, "github.com/xenhost/xenhost/xen/libvirt", &xenlab.TestOptions{Run: part.run, Timeout: 30 * time.Minute})
			t.Logf("RESULT libvirt in dom0: %d passed, %d failed, skipped %v", r.Passed, r.Failed, r.Skipped)
		})
	}
}
