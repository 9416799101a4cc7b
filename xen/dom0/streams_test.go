package dom0_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen/dom0"
)

// soon is a short WaitDelay for tests that must wait for it.
const soon = 50 * time.Millisecond

func TestDaemonHoldsThePipes(t *testing.T) {
	leavesNothing(t)
	for _, noKill := range []bool{false, true} {
		var out bytes.Buffer
		cmd := sh(`setsid sleep 1000 & echo $!`)
		cmd.Stdout, cmd.NoKill = &out, noKill
		require.NoError(t, result(t, run(t.Context(), dom0.Local{WaitDelay: soon}, cmd)))
		pid := strings.TrimSpace(out.String())
		endAtCleanup(t, pid)
		assert.False(t, gone(pid), "what a command leaves behind is its own affair")
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestSlowWriterLosesNothing(t *testing.T) {
	leavesNothing(t)
	const size = 200_000 // three pipes full
	for name, script := range map[string]string{
		"alone":           `head -c %d /dev/zero`,
		"beside a daemon": `setsid sleep 1000 & echo $! >&2; head -c %d /dev/zero`,
	} {
		t.Run(name, func(t *testing.T) {
			var said bytes.Buffer
			got := 0
			cmd := sh(fmt.Sprintf(script, size))
			cmd.Stderr = &said
			cmd.Stdout = writerFunc(func(p []byte) (int, error) {
				time.Sleep(2 * soon)
				got += len(p)
				return len(p), nil
			})
			require.NoError(t, dom0.Local{WaitDelay: soon}.Run(t.Context(), cmd))
			assert.Equal(t, size, got)
			if said.Len() > 0 {
				endAtCleanup(t, strings.TrimSpace(said.String()))
			}
		})
	}
}

func TestBlockedWriter(t *testing.T) {
	leavesNothing(t)
	blocked, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := dom0.Cmd{Args: []string{"echo", "x"}, Stdout: writerFunc(func(p []byte) (int, error) {
		close(blocked)
		<-release
		return len(p), nil
	})}
	c := run(ctx, dom0.Local{WaitDelay: soon}, cmd)
	<-blocked
	cancel()
	failed := failure(t, result(t, c))
	assert.ErrorIs(t, failed, context.Canceled)
	assert.ErrorContains(t, failed, "its writer blocks")
}

func TestBlockedReader(t *testing.T) {
	leavesNothing(t)
	in, feed := io.Pipe()
	defer feed.Close()
	cmd := dom0.Cmd{Args: []string{"true"}, Stdin: in}
	assert.NoError(t, result(t, run(t.Context(), dom0.Local{WaitDelay: soon}, cmd)))
}

func TestReaderFails(t *testing.T) {
	leavesNothing(t)
	broken := errors.New("the line is dead")
	var out bytes.Buffer
	failed := failure(t, dom0.Local{}.Run(t.Context(), dom0.Cmd{
		Args: []string{"cat"}, Stdout: &out,
		Stdin: io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)),
	}))
	assert.ErrorIs(t, failed, broken)
	assert.Equal(t, 0, failed.ExitCode, "cat took it for the end")
	assert.Equal(t, "half", out.String())
	assert.Equal(t, "cat: dom0: stdin: the line is dead", failed.Error())
}

func TestWriterFails(t *testing.T) {
	leavesNothing(t)
	full := errors.New("the disk is full")
	refuse := writerFunc(func([]byte) (int, error) { return 0, full })

	failed := failure(t, dom0.Local{}.Run(t.Context(), dom0.Cmd{Args: []string{"yes"}, Stdout: refuse}))
	assert.ErrorIs(t, failed, full)
	assert.ErrorContains(t, failed, "signal: broken pipe")

	cmd := sh(`head -c 300000 /dev/zero >&2; echo last >&2`)
	cmd.Stderr = refuse
	failed = failure(t, dom0.Local{}.Run(t.Context(), cmd))
	assert.ErrorIs(t, failed, full)
	assert.Equal(t, 0, failed.ExitCode, "it was heard to the end")
	assert.True(t, strings.HasSuffix(failed.Stderr, "last\n"))
}

func TestInputThatNobodyReads(t *testing.T) {
	leavesNothing(t)
	cmd := dom0.Cmd{Args: []string{"true"}, Stdin: bytes.NewReader(make([]byte, 10<<20))}
	assert.NoError(t, dom0.Local{}.Run(t.Context(), cmd))
}

// allocated returns how many bytes f allocates in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestStderrIsBounded(t *testing.T) {
	leavesNothing(t)
	var err error
	used := allocated(func() {
		err = dom0.Local{}.Run(t.Context(), sh(`echo first >&2; head -c 100000000 /dev/zero | tr '\0' e >&2; echo last >&2; exit 1`))
	})
	failed := failure(t, err)
	assert.Less(t, used, uint64(1<<20))
	assert.Less(t, len(failed.Stderr), 33<<10)
	assert.True(t, strings.HasPrefix(failed.Stderr, "first\neee"))
	assert.True(t, strings.HasSuffix(failed.Stderr, "eeelast\n"))
	assert.Contains(t, failed.Stderr, fmt.Sprintf("\n[... %d bytes left out ...]\n", 100_000_011-32<<10))
}

func TestStdoutStreams(t *testing.T) {
	leavesNothing(t)
	var n int
	count := writerFunc(func(p []byte) (int, error) { n += len(p); return len(p), nil })
	used := allocated(func() {
		cmd := dom0.Cmd{Args: []string{"cat"}, Stdin: io.LimitReader(zeros{}, 256<<20), Stdout: count}
		require.NoError(t, dom0.Local{}.Run(t.Context(), cmd))
	})
	assert.Equal(t, 256<<20, n)
	assert.Less(t, used, uint64(1<<20))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestConcurrentCommands(t *testing.T) {
	leavesNothing(t)
	var l dom0.Local
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 8 {
				var out bytes.Buffer
				want := fmt.Sprintf("%d of %d", j, i)
				err := l.Run(t.Context(), dom0.Cmd{Args: []string{"cat"}, Stdin: strings.NewReader(want), Stdout: &out})
				assert.NoError(t, err)
				assert.Equal(t, want, out.String())
			}
		})
	}
	all.Wait()
}
