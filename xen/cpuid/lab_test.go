package cpuid_test

import (
	"context"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/internal/lab/xenlab"
	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen"
	"github.com/xenhost/xenhost/xen/cpuid"
	"github.com/xenhost/xenhost/xen/dom0"
	"github.com/xenhost/xenhost/xen/xlcfg"
)

const tool = "/usr/lib/xen-4.17/bin/xen-cpuid" // in a lab host

// TestLab has two Xen hosts of which one lacks RDRAND and SSE4.2. A domain that
// is started on the other one loses them on its way, without a word of Xen's;
// Takes says so beforehand. A levelled one goes on with the CPU that it had.
func TestLab(t *testing.T) {
	tier.Require(t, tier.LabFull)
	lab := xenlab.StartCPU(t, map[string]string{"islay": xenlab.DefaultCPU + ",-rdrand,-sse4.2"}, "curacao", "islay")
	curacao, islay := lab.MustHost(t, "curacao"), lab.MustHost(t, "islay")
	here, err := cpuid.Read(t.Context(), curacao.Runner(), tool)
	require.NoError(t, err)
	there, err := cpuid.Read(t.Context(), islay.Runner(), tool)
	require.NoError(t, err)
	lines, err := cpuid.Level(xen.PVH, here, there)
	require.NoError(t, err)
	t.Log(lines)

	for name, level := range map[string][]string{"as it is": nil, "levelled": lines} {
		spec := xen.Spec{
			Name: "cpu", UUID: uuid.New(), Type: xen.PVH, Memory: 96 << 20, VCPUs: 1, TSCMode: "native", CPUID: level,
			Kernel: xenlab.GuestKernel, Ramdisk: xenlab.GuestRamdisk, Cmdline: "console=hvc0",
		}
		before, after := carry(t, curacao, islay, spec)
		words := []string{"1c", "1d", "7b0", "e1c", "e1d"}
		lost := before.Set(words...).Minus(after.Set(words...))
		err := there.Takes(xen.PVH, before)
		if level != nil {
			require.NoError(t, err, name)
			assert.Empty(t, lost, name)
			continue
		}
		var missing *cpuid.MissingError
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, missing.Missing, lost, "what is lost is what Takes said")
		assert.EqualError(t, err, "the CPU of the host lacks sse4.2, rdrand")
	}
}

// carry starts a domain at one host, saves it into the other, and returns what
// it sees of the CPU before and after.
func carry(t *testing.T, from, to *xenlab.Host, spec xen.Spec) (before, after cpuid.Policy) {
	t.Helper()
	text, err := xlcfg.Render(spec)
	require.NoError(t, err)
	for _, h := range []*xenlab.Host{from, to} {
		require.NoError(t, h.Write(t.Context(), "/root/cpu.cfg", []byte(text), 0o600))
	}
	run(t, from, "xl", "create", "-q", "/root/cpu.cfg")
	domid := run(t, from, "xl", "domid", "cpu")
	before, err = cpuid.ReadDomain(t.Context(), from.Runner(), tool, number(t, domid))
	require.NoError(t, err)
	require.Eventually(t, func() bool { // it has booted far enough to suspend
		out, _ := from.Run(t.Context(), "xenstore-read", "/local/domain/"+domid+"/control/feature-suspend")
		return strings.TrimSpace(string(out)) == "1"
	}, 3*time.Minute, 2*time.Second)

	r, w := io.Pipe()
	saved := make(chan error, 1)
	go func() {
		// gzip, because ssh carries 2 MB a second here; its own shell joins the two
		err := from.Runner().Run(context.WithoutCancel(t.Context()), dom0.Cmd{Args: []string{"sh", "-c", "xl save cpu /proc/self/fd/1 | gzip -1"}, Stdout: w})
		w.CloseWithError(err)
		saved <- err
	}()
	restore := dom0.Cmd{Args: []string{"sh", "-c", "gzip -dc | xl restore -p /root/cpu.cfg /proc/self/fd/0"}, Stdin: r}
	require.NoError(t, to.Runner().Run(t.Context(), restore))
	require.NoError(t, <-saved)
	after, err = cpuid.ReadDomain(t.Context(), to.Runner(), tool, number(t, run(t, to, "xl", "domid", "cpu")))
	require.NoError(t, err)
	run(t, to, "xl", "destroy", "cpu")
	return before, after
}

func run(t *testing.T, h *xenlab.Host, argv ...string) string {
	t.Helper()
	out, err := h.Run(t.Context(), argv...)
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}
