package lvm_test

import (
	"testing"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// TestLab runs this package's tests of tier dom0 inside a real Xen host.
func TestLab(t *testing.T) {
	curacao := xenlab.Start(t, "curacao").MustHost(t, "curacao")
	curacao.Test(t, "github.com/xenhost/xenhost/lvm", &xenlab.TestOptions{Run: "TestDom0"})
}
