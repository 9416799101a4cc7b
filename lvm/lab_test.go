package lvm_test

import (
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

const thisPackage = "github.com/xenhost/xenhost/lvm"

// TestLabFull runs all of tier dom0 in the dom0 of a real Xen host, where each lvm
// command takes a second or two; internal/e2e runs the most of it in every change.
func TestLabFull(t *testing.T) {
	curacao := xenlab.StartFull(t, "curacao").MustHost(t, "curacao")
	curacao.Test(t, thisPackage, &xenlab.TestOptions{Run: "TestDom0", Timeout: 50 * time.Minute})
}
