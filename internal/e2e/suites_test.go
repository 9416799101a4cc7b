package e2e

import (
	"testing"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// The suites of the packages run inside the dom0 of a real Xen host: the same
// cases that the fakes pass.
func TestSuitesInDom0(t *testing.T) {
	for _, pkg := range []string{"lvm", "network", "xen/xl"} {
		t.Run(pkg, func(t *testing.T) {
			curacao := xenlab.Start(t, "curacao").MustHost(t, "curacao")
			r := curacao.Test(t, "github.com/xenhost/xenhost/"+pkg, nil)
			t.Logf("RESULT %s in dom0: %d passed, %d failed, skipped %v", pkg, r.Passed, r.Failed, r.Skipped)
		})
	}
}
