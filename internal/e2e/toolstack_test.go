package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
)

// TestToolstackFull runs what stands beside xl in the dom0 of a real Xen host:
// xenstore, the hypervisor's list, events, the supervisor, and the comparison
// with the commands that one would otherwise use.
func TestToolstackFull(t *testing.T) {
	curacao := xenlab.StartFull(t, "curacao").MustHost(t, "curacao")
	for _, suite := range []struct{ pkg, run string }{
		{"xen/xenstore", "TestDom0"}, {"xen/events", "TestEvents"}, {"xen/host", "TestSupervisor"},
	} {
		t.Run(suite.pkg, func(t *testing.T) {
			start := time.Now()
			r := curacao.Test(t, "github.com/xenhost/xenhost/"+suite.pkg, &xenlab.TestOptions{Run: suite.run})
			t.Logf("RESULT %s in dom0: %d passed, %d failed, skipped %v, %v", suite.pkg, r.Passed, r.Failed, r.Skipped, time.Since(start).Round(time.Second))
		})
	}
	for i := range 3 {
		config := fmt.Sprintf("name = \"idle%d\"\ntype = \"pvh\"\nmemory = 128\nkernel = %q\nramdisk = %q\ntsc_mode = \"native\"\nvif = [ \"bridge=xenint\" ]\n",
			i, xenlab.GuestKernel, xenlab.GuestRamdisk)
		file := fmt.Sprintf("/root/idle%d.cfg", i)
		require.NoError(t, curacao.Write(t.Context(), file, []byte(config), 0o600))
		_, err := curacao.Run(t.Context(), "xl", "create", "-q", "-p", "-e", file)
		require.NoError(t, err)
	}
	t.Run("xen/privcmd", func(t *testing.T) {
		curacao.Test(t, "github.com/xenhost/xenhost/xen/privcmd", &xenlab.TestOptions{Run: "TestDom0"})
	})
	t.Run("bench", func(t *testing.T) {
		binary := filepath.Join(t.TempDir(), "bench")
		build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", binary, "github.com/xenhost/xenhost/internal/bench")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		said, err := build.CombinedOutput()
		require.NoError(t, err, string(said))
		require.NoError(t, curacao.Put(t.Context(), binary, "/root/bench"))
		out, err := curacao.Run(t.Context(), "/root/bench", "xen")
		require.NoError(t, err)
		t.Logf("RESULT\n%s", out)
	})
}
