package shaping_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen/dom0"
)

// space is a network namespace that stands for one machine; it is gone when
// the test ends.
type space struct{ name string }

var spaces atomic.Int32 // numbers the namespaces of this process

// needNamespaces lets the test go on in the tier netns, and in the dom0 of a
// lab host, where the namespaces are as good.
func needNamespaces(tb testing.TB) {
	tb.Helper()
	t := tier.NetNS
	if !tier.Demanded(t) && tier.Demanded(tier.Dom0) {
		t = tier.Dom0
	}
	tier.Require(tb, t)
	if os.Geteuid() != 0 {
		tier.CanNot(tb, t, "it needs root")
	}
	for _, tool := range []string{"ip", "tc", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			tier.CanNot(tb, t, "it needs "+tool)
		}
	}
}

func newSpace(tb testing.TB) space {
	tb.Helper()
	s := space{fmt.Sprintf("xhs%d-%d", os.Getpid(), spaces.Add(1))}
	run(tb, "", "ip", "netns", "add", s.name)
	tb.Cleanup(func() { run(tb, "", "ip", "netns", "delete", s.name) })
	s.ip(tb, "link set lo up")
	return s
}

// run runs a command on the host and returns what it printed.
func run(tb testing.TB, stdin string, argv ...string) string {
	tb.Helper()
	var out strings.Builder
	err := dom0.Local{}.Run(context.Background(), dom0.Cmd{Args: argv, Stdin: strings.NewReader(stdin), Stdout: &out})
	require.NoError(tb, err, "%s", stdin)
	return out.String()
}

// ip runs lines of "ip -batch" in the namespace.
func (s space) ip(tb testing.TB, lines ...string) {
	tb.Helper()
	run(tb, strings.Join(lines, "\n")+"\n", "ip", "-n", s.name, "-batch", "-")
}

// run runs a command in the namespace.
func (s space) run(tb testing.TB, stdin string, argv ...string) string {
	tb.Helper()
	return run(tb, stdin, append([]string{"ip", "netns", "exec", s.name}, argv...)...)
}

func (s space) path() string { return "/run/netns/" + s.name }

// inside calls f on a thread in the namespace; sockets that it opens stay there.
func (s space) inside(tb testing.TB, f func() error) {
	tb.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		ns, err := netns.GetFromName(s.name)
		if err == nil {
			defer func() { _ = ns.Close() }()
			err = netns.Set(ns)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	require.NoError(tb, <-done)
}
