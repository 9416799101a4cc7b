package lvm_test

import (
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

const thisPackage = "github.com/xenhost/xenhost/lvm"

// TestLabFull runs in the dom0 of a real Xen host what tier lvm runs anywhere;
// what needs devices runs there in every change, through internal/e2e.
func TestLabFull(t *testing.T) {
	curacao := xenlab.StartFull(t, "curacao").MustHost(t, "curacao")
	curacao.Test(t, thisPackage, &xenlab.TestOptions{Run: "TestDom0Metadata", Timeout: 30 * time.Minute})
}
