package xenlab

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/xenhost/xenhost/internal/tier"
)

// Start gives a test of tier lab the named hosts as they were after their
// first boot: curacao and islay if none is named. It waits while another
// process has the lab. The hosts are gone when the test ends, or its process.
func Start(tb testing.TB, names ...string) *Lab {
	tb.Helper()
	tier.Require(tb, tier.Lab)
	return start(tb, nil, names)
}

// StartFull is Start for a test of tier lab-full.
func StartFull(tb testing.TB, names ...string) *Lab {
	tb.Helper()
	tier.Require(tb, tier.LabFull)
	return start(tb, nil, names)
}

// StartCPU is Start with hosts that have other CPUs.
func StartCPU(tb testing.TB, cpu map[string]string, names ...string) *Lab {
	tb.Helper()
	tier.Require(tb, tier.Lab)
	return start(tb, cpu, names)
}

func start(tb testing.TB, cpu map[string]string, names []string) *Lab {
	tb.Helper()
	if err := Available(); err != nil {
		tier.CanNot(tb, tier.Lab, err.Error())
	}
	l, err := Open(tb.Context(), "", &Options{Tied: true, Log: slog.New(slog.NewTextHandler(testOutput(tb), nil)), CPU: cpu})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if n := l.Retried(); n > 0 {
			tb.Logf("boots retried: %d", n)
		}
		for name, h := range l.hosts {
			if tb.Failed() && h.Running() {
				tb.Logf("the end of %s's console:\n%s", name, fileTail(h.runFile(".log"), 12))
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := l.Down(ctx); err != nil {
			tb.Error(err)
		}
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := l.Fresh(tb.Context(), names...); err != nil {
		tb.Fatal(err)
	}
	return l
}

// MustHost is Host for a test.
func (l *Lab) MustHost(tb testing.TB, name string) *Host {
	tb.Helper()
	h, err := l.Host(name)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// Test is GoTest for a test: it fails where GoTest returns an error.
func (h *Host) Test(tb testing.TB, pkg string, o *TestOptions) TestResult {
	tb.Helper()
	r, err := h.GoTest(tb.Context(), pkg, o, testOutput(tb))
	if err != nil {
		tb.Error(err)
	}
	return r
}

// testOutput is where a test prints what comes while it runs.
func testOutput(tb testing.TB) io.Writer { return tb.Output() }
