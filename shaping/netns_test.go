package shaping_test

import (
	"testing"

	"github.com/xenhost/xenhost/internal/nstest"
)

// space is a network namespace that stands for one machine.
type space struct {
	nstest.Space
	name string
}

// needNamespaces lets the test go on where namespaces and the tools are.
func needNamespaces(tb testing.TB) {
	tb.Helper()
	nstest.Need(tb, "tc", "nft")
}

func newSpace(tb testing.TB) space {
	tb.Helper()
	s := nstest.New(tb)
	return space{s, s.Name}
}

// ip runs lines of "ip -batch" in the namespace.
func (s space) ip(tb testing.TB, lines ...string) {
	tb.Helper()
	s.IP(tb, lines...)
}

// run runs a command in the namespace.
func (s space) run(tb testing.TB, stdin string, argv ...string) string {
	tb.Helper()
	return s.Run(tb, stdin, argv...)
}

func (s space) path() string { return s.Path() }

// inside calls f on a thread in the namespace; sockets that it opens stay there.
func (s space) inside(tb testing.TB, f func() error) {
	tb.Helper()
	s.Inside(tb, f)
}
