package e2e

import (
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// TestNetworkFull: the firewalls that TestSuites leaves out, packets through
// every kind of forward, and bonds and vlans, on dom0's kernel. A firewall a host.
func TestNetworkFull(t *testing.T) {
	lab := xenlab.StartFull(t)
	for host, firewall := range map[string]string{"curacao": "^iptables-legacy$", "islay": "^nft$"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			r := lab.MustHost(t, host).Test(t, "github.com/xenhost/xenhost/network",
				&xenlab.TestOptions{Run: "(TestLinux|TestKinds)/" + firewall, Timeout: 30 * time.Minute})
			t.Logf("RESULT network by %s in dom0: %d passed, %d failed, skipped %v", firewall, r.Passed, r.Failed, r.Skipped)
		})
	}
}
