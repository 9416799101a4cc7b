package blockcopy_test

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// endless is a volume of any size that compresses a little and is nowhere.
type endless struct {
	size  int64
	piece []byte
}

func (e endless) ReadAt(p []byte, off int64) (int, error) {
	for at := 0; at < len(p); {
		at += copy(p[at:], e.piece[(off+int64(at))%int64(len(e.piece)):])
	}
	return len(p), nil
}
func (e endless) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (e endless) Zero(_, _ int64) error                  { return nil }
func (e endless) Sync() error                            { return nil }
func (e endless) Size() int64                            { return e.size }

// peak watches what the process has of memory in use while f runs.
func peak(f func()) (most uint64) {
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse-min(m.HeapInuse, before.HeapInuse))
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	})
	f()
	close(stop)
	watch.Wait()
	return most
}

// TestMemory: both ends together stay below the limit of one, whatever the
// size, with the index.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("short: it takes some seconds")
	}
	piece := newDisk(1<<20 + 4096)
	fill(piece.data, 30)
	for _, size := range []int64{64 << 20, 256 << 20} {
		src := endless{size, piece.data}
		x, err := blockcopy.OpenIndex(filepath.Join(t.TempDir(), "index"), size)
		require.NoError(t, err)
		most := peak(func() {
			for range 2 { // all of it, then nothing
				tr := blockcopy.NewTransfer(size)
				tr.Base = x.Generation()
				d, err := x.Draft(tr)
				require.NoError(t, err)
				r, w := pipes(t)
				go func() {
					_, err := blockcopy.Send(t.Context(), w, src, tr, &blockcopy.SendOptions{Index: d})
					assert.NoError(t, err)
				}()
				got, err := blockcopy.Receive(t.Context(), r, src, tr, nil)
				require.NoError(t, err)
				require.NoError(t, d.Commit(got.Generation()))
			}
		})
		require.NoError(t, x.Close())
		t.Logf("RESULT %d MiB of memory for both ends of %d MiB", most>>20, size>>20)
		assert.Less(t, most, uint64(64<<20))
	}
}

// pipes is a connection through the kernel.
func pipes(t *testing.T) (here, there *os.File) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	here, there = os.NewFile(uintptr(fds[0]), "here"), os.NewFile(uintptr(fds[1]), "there")
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}
