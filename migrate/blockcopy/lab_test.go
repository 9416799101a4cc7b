package blockcopy_test

import (
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// TestLabFull runs in the dom0 of a real Xen host what needs logical volumes
// and the kernel that guests run on.
func TestLabFull(t *testing.T) {
	curacao := xenlab.StartFull(t, "curacao").MustHost(t, "curacao")
	curacao.Test(t, "github.com/xenhost/xenhost/migrate/blockcopy", &xenlab.TestOptions{
		Run: "TestDom0Volumes|TestFiles", Timeout: 20 * time.Minute,
	})
}
