// Package nstest gives tests network namespaces that stand for machines, wires
// between them, and sockets inside of them.
package nstest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/xen/dom0"
)

// Need lets a test go on in the tier netns, and in the dom0 of a lab host,
// where namespaces are as good; the tools must be there.
func Need(tb testing.TB, tools ...string) {
	tb.Helper()
	t := tier.NetNS
	if !tier.Demanded(t) && tier.Demanded(tier.Dom0) {
		t = tier.Dom0
	}
	tier.Require(tb, t)
	if os.Geteuid() != 0 {
		tier.CanNot(tb, t, "it needs root")
	}
	for _, tool := range append(tools, "ip", "nsenter") {
		if _, err := dom0.Output(tb.Context(), dom0.Local{}, "which", tool); err != nil {
			tier.CanNot(tb, t, "it needs "+tool)
		}
	}
}

// Space is a network namespace that stands for one machine; it is gone when
// the test ends.
type Space struct{ Name string }

// New makes a machine without interfaces but lo.
func New(tb testing.TB) Space {
	tb.Helper()
	s := Space{fmt.Sprintf("xht%d-%08x", os.Getpid(), rand.Uint32())}
	run(tb, "", "ip", "netns", "add", s.Name)
	tb.Cleanup(func() { run(tb, "", "ip", "netns", "delete", s.Name) })
	s.IP(tb, "link set lo up")
	return s
}

func run(tb testing.TB, stdin string, argv ...string) string {
	tb.Helper()
	var out strings.Builder
	err := dom0.Local{}.Run(context.Background(), dom0.Cmd{Args: argv, Stdin: strings.NewReader(stdin), Stdout: &out})
	require.NoError(tb, err, "%s", stdin)
	return out.String()
}

// Path is the namespace as a file.
func (s Space) Path() string { return "/run/netns/" + s.Name }

// IP runs lines of "ip -batch" on the machine.
func (s Space) IP(tb testing.TB, lines ...string) {
	tb.Helper()
	run(tb, strings.Join(lines, "\n")+"\n", "ip", "-n", s.Name, "-batch", "-")
}

// Run runs a command on the machine and returns what it printed.
func (s Space) Run(tb testing.TB, stdin string, argv ...string) string {
	tb.Helper()
	return run(tb, stdin, append([]string{"nsenter", "--net=" + s.Path()}, argv...)...)
}

// Do calls f on a thread of the machine; sockets that it opens stay there.
func (s Space) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		ns, err := netns.GetFromPath(s.Path())
		if err == nil {
			defer func() { _ = ns.Close() }()
			err = netns.Set(ns)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// Inside is Do for what must not fail.
func (s Space) Inside(tb testing.TB, f func() error) {
	tb.Helper()
	require.NoError(tb, s.Do(f))
}

// Index is the number of an interface of the machine.
func (s Space) Index(tb testing.TB, name string) (index int) {
	tb.Helper()
	s.Inside(tb, func() error {
		i, err := net.InterfaceByName(name)
		if err == nil {
			index = i.Index
		}
		return err
	})
	return index
}
