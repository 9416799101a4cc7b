package e2e

import (
	"testing"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// The suite of package network runs inside the dom0 of a real Xen host, on its
// kernel and its iptables; those of lvm and xen/xl bring a TestLab of their own.
func TestNetworkInDom0(t *testing.T) {
	curacao := xenlab.Start(t, "curacao").MustHost(t, "curacao")
	r := curacao.Test(t, "github.com/xenhost/xenhost/network", nil)
	t.Logf("RESULT network in dom0: %d passed, %d failed, skipped %v", r.Passed, r.Failed, r.Skipped)
}
