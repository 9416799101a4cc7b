package lvm

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// newDevice is a device on a regular file, where O_DIRECT wants blocks of 4096
// bytes and BLKZEROOUT does not exist.
func newDevice(t testing.TB, size int64) *device {
	path := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, size))
	d, err := openDevice(path)
	if errors.Is(err, unix.EINVAL) {
		t.Skip("the filesystem of the temporary directory has no O_DIRECT")
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestDeviceProperty(t *testing.T) {
	const size = 3 << 20
	d := newDevice(t, size)
	model := make([]byte, size)
	rapid.Check(t, func(t *rapid.T) {
		near := rapid.SampledFrom([]int64{0, 4096, 512, 1 << 20, 2 << 20, size}).Draw(t, "near")
		off := min(max(0, near+rapid.Int64Range(-5000, 5000).Draw(t, "off")), size)
		length := min(rapid.SampledFrom([]int64{0, 1, 511, 512, 4095, 4096, 8192, 70000, 1<<20 + 1, 2 << 20}).Draw(t, "length"), size-off)
		p := make([]byte, length)
		switch rapid.IntRange(0, 2).Draw(t, "do") {
		case 0:
			fill := rapid.Byte().Draw(t, "fill")
			for i := range p {
				p[i] = fill + byte(i%251)
			}
			n, err := d.WriteAt(p, off)
			require.NoError(t, err)
			require.Equal(t, int(length), n)
			copy(model[off:], p)
		case 1:
			require.NoError(t, d.Zero(off, length))
			clear(model[off : off+length])
		}
		all := make([]byte, size)
		n, err := d.ReadAt(all, 0)
		require.NoError(t, err)
		require.Equal(t, size, n)
		require.True(t, string(model) == string(all), "%d bytes at %d", length, off)
		n, err = d.ReadAt(p, off)
		if off < size {
			require.NoError(t, err)
			require.Equal(t, string(model[off:off+length]), string(p[:n]))
		}
	})
}

// Neighbours inside one block, written at the same time, all arrive.
func TestDeviceEdgesTogether(t *testing.T) {
	d := newDevice(t, 64<<10)
	var writers sync.WaitGroup
	for i := range 64 {
		writers.Go(func() {
			for k := range 16 {
				_, err := d.WriteAt([]byte{byte(i + 1)}, int64(k*64+i))
				assert.NoError(t, err)
			}
		})
	}
	writers.Wait()
	got := make([]byte, 1024)
	_, err := d.ReadAt(got, 0)
	require.NoError(t, err)
	for at, b := range got {
		assert.Equal(t, byte(at%64+1), b)
	}
}

func TestSampleNotices(t *testing.T) {
	for _, size := range []int64{4096, 1 << 20} {
		d := newDevice(t, size)
		require.NoError(t, sample(d))
		_, err := d.WriteAt([]byte{1}, size-1)
		require.NoError(t, err)
		assert.ErrorContains(t, sample(d), "do not read as zeros")
	}
}
