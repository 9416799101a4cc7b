package lvm_test

import (
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

const thisPackage = "github.com/xenhost/xenhost/lvm"

// TestLab runs what needs real devices in the dom0 of a real Xen host.
func TestLab(t *testing.T) {
	curacao := xenlab.Start(t, "curacao").MustHost(t, "curacao")
	curacao.Test(t, thisPackage, &xenlab.TestOptions{Run: "TestDom0(Content|TwoWipers|CrashInWipe)"})
}

// TestLabFull also runs there what tier lvm runs anywhere.
func TestLabFull(t *testing.T) {
	curacao := xenlab.StartFull(t, "curacao").MustHost(t, "curacao")
	curacao.Test(t, thisPackage, &xenlab.TestOptions{Run: "TestDom0Metadata", Timeout: 30 * time.Minute})
}
