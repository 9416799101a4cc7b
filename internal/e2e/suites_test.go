package e2e

import (
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// The suites of the packages run inside the dom0 of real Xen hosts: the same
// cases that the fakes pass. Each host has a core of this machine, so two run
// at a time. Of lvm this is the share that every change must pass, since its
// commands take a second or two there; its TestLabFull runs all.
func TestSuites(t *testing.T) {
	lab := xenlab.Start(t)
	for host, suites := range map[string][]struct{ pkg, run string }{
		"curacao": {{"lvm", lvmShare}, {"xen/libvirt", "TestLiveSpec"}},
		"islay": {{"xen/xl", "TestLive|TestDryRun"}, {"xen/xl", xlShare}, {"network", "(TestLinux|TestPackets|TestKilledBetweenTables)/iptables-nft"},
			{"shaping", "TestFairQueues|TestRouted|TestLinux/(what_is_set|a_plan|queues|a_vif_that)"}},
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			for _, s := range suites {
				t.Run(s.pkg, func(t *testing.T) {
					r := lab.MustHost(t, host).Test(t, "github.com/xenhost/xenhost/"+s.pkg, &xenlab.TestOptions{Run: s.run, Timeout: 30 * time.Minute})
					t.Logf("RESULT %s in dom0: %d passed, %d failed, skipped %v", s.pkg, r.Passed, r.Failed, r.Skipped)
				})
			}
		})
	}
}

// Of xl's other roles this is the quick half of one group; its TestLabFull runs
// all.
const xlShare = "TestRolesLive/PVH/sizes/^(memory|vcpus|share)$"

const lvmShare = "TestDom0(Content|CrashInWipe)/" +
	"(created|no_remains|create_finishes|skip_keeps|changed$|changed_thin|snapshot_overflows|thin_snapshot|half-way)"
