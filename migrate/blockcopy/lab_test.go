package blockcopy_test

import (
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

const thisPackage = "github.com/xenhost/xenhost/migrate/blockcopy"

// TestLabFull copies real volumes in the dom0 of a real Xen host, the changes
// found in each way there is.
func TestLabFull(t *testing.T) {
	curacao := xenlab.StartFull(t, "curacao").MustHost(t, "curacao")
	curacao.Test(t, thisPackage, &xenlab.TestOptions{Run: "TestDom0", Timeout: 20 * time.Minute})
}
