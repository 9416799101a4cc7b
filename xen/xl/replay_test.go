package xl_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/domu"
	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/dom0/dom0test"
	"github.com/xenhost/xenhost/xen/xentest"
	"github.com/xenhost/xenhost/xen/xl"
)

const (
	recording    = "testdata/suite.txtar"
	recordingEnv = "XENHOST_XL_RECORDING" // where to put it, in dom0
)

// TestReplay is the suite on what xl answered in a lab host, but for the cases
// that depend on the clock. To record it again:
//
//	XENHOST_TIERS=lab XENHOST_RECORD=1 go test -run TestRecord ./xen/xl
func TestReplay(t *testing.T) {
	guests := &domu.Guests{}
	h := xentest.Harness{
		Spec: func(_ *testing.T, typ xen.Type) xen.Spec { return guests.Next(typ) },
		Skip: map[string]string{
			"PVH/shutdown of a guest that ignores it": "depends on the clock",
			"PVH/cancelled create":                    "depends on the clock",
		},
	}
	var real dom0.Runner
	file := recording
	if tier.Demanded(tier.Dom0) && os.Getenv(dom0test.RecordEnv) == "1" {
		real, h.Spec, h.Booted = dom0.Local{}, guests.OnVolume, domu.Booted
		file = os.Getenv(recordingEnv)
	}
	dir := t.TempDir()
	runner := dom0test.Open(t, file, real, &dom0test.Options{Rewrite: func(arg string) string {
		if name := filepath.Base(arg); strings.HasPrefix(name, "xl-") && strings.HasSuffix(name, ".cfg") {
			return "/tmp/" + name[:len("xl-")+36] + ".cfg"
		}
		return arg
	}})
	h.New = func(*testing.T) xen.Domains { return xl.New(runner, &xl.Options{TempDir: dir, Poll: poll(real)}) }
	xentest.TestDomains(t, h)
}

func poll(real dom0.Runner) time.Duration {
	if real == nil {
		return time.Millisecond
	}
	return time.Second
}
