package blockcopy_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/tier"
	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// carry copies src to dst, whole.
func carry(t *testing.T, src, dst *blockcopy.File, tr blockcopy.Transfer) {
	var s bytes.Buffer
	_, err := blockcopy.Send(t.Context(), &s, src, tr, nil)
	require.NoError(t, err)
	_, err = blockcopy.Receive(t.Context(), &s, dst, tr, nil)
	require.NoError(t, err)
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	const size = 5<<20 + 1234
	content := make([]byte, size)
	fill(content, 12)
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	require.NoError(t, os.WriteFile(from, content, 0o600))
	src, err := blockcopy.OpenSource(from)
	require.NoError(t, err)
	defer src.Close()
	require.EqualValues(t, size, src.Size())

	for _, fresh := range []bool{true, false} {
		dst, made, err := blockcopy.OpenTarget(to, size)
		require.NoError(t, err)
		require.Equal(t, fresh, made)
		_, _, err = blockcopy.OpenTarget(to, size)
		require.ErrorIs(t, err, blockcopy.ErrBusy)
		tr := blockcopy.NewTransfer(size)
		tr.Fresh = made
		carry(t, src, dst, tr)
		_, err = dst.WriteAt([]byte{1}, size)
		require.Error(t, err)
		require.Error(t, dst.Zero(size-1, 2))
		require.NoError(t, dst.Close())
		got, err := os.ReadFile(to)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, got))
		// The second time it overwrites noise, and zeros become zeros.
		require.NoError(t, os.WriteFile(to, bytes.Repeat([]byte{0xee}, size), 0o600))
	}

	_, _, err = blockcopy.OpenTarget(to, size+1)
	require.ErrorIs(t, err, blockcopy.ErrSize)
	require.ErrorContains(t, err, "5244114 bytes, the source 5244115")
	_, err = blockcopy.OpenSource(dir)
	require.ErrorContains(t, err, "neither a block device nor a regular file")
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	_, err = blockcopy.OpenSource(filepath.Join(dir, "fifo"))
	require.ErrorContains(t, err, "neither a block device nor a regular file")
	_, err = blockcopy.OpenSource("/dev/null")
	require.Error(t, err)
	_, err = blockcopy.OpenSource(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// resident is how many pages of a file are in the page cache.
func resident(t *testing.T, path string) (pages int) {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	mem, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Munmap(mem)) }()
	vec := make([]byte, (len(mem)+4095)/4096)
	require.NoError(t, mincore(mem, vec))
	for _, v := range vec {
		pages += int(v & 1)
	}
	return pages
}

// TestPageCacheStaysClean: what a transfer read and wrote is not in the page
// cache afterwards; what others had there still is. The kernel keeps a page that
// another CPU has in its hands just then, however it is advised, so that a few
// extents may stay.
func TestPageCacheStaysClean(t *testing.T) {
	dir := t.TempDir()
	const size = 16 << 20
	content := make([]byte, size)
	fill(content, 13)
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	require.NoError(t, os.WriteFile(from, content, 0o600))
	src, err := blockcopy.OpenSource(from)
	require.NoError(t, err)
	defer src.Close()
	drop := func() {
		f, err := os.OpenFile(from, os.O_RDWR, 0)
		require.NoError(t, err)
		defer f.Close()
		require.NoError(t, f.Sync())
		require.NoError(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	}
	drop()
	if n := resident(t, from); n > 0 {
		t.Skipf("the filesystem of the temporary directory keeps %d pages whatever it is told", n)
	}
	dst, _, err := blockcopy.OpenTarget(to, size)
	require.NoError(t, err)
	defer dst.Close()
	carry(t, src, dst, blockcopy.NewTransfer(size))
	assert.Less(t, resident(t, from), size/4096/4)
	assert.Less(t, resident(t, to), size/4096/4)

	_, err = os.ReadFile(from) // somebody else uses the file
	require.NoError(t, err)
	had := resident(t, from)
	require.Positive(t, had)
	carry(t, src, dst, blockcopy.NewTransfer(size))
	assert.Greater(t, resident(t, from), had*3/4)
}

// TestDevices: the same on a loop device, past the page cache.
func TestDevices(t *testing.T) {
	tier.Require(t, tier.LVM)
	loop := func(size int64) string {
		path := filepath.Join(t.TempDir(), "disk")
		require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte{0xee}, int(size)), 0o600))
		out, err := exec.Command("losetup", "--find", "--show", path).CombinedOutput()
		if err != nil {
			tier.CanNot(t, tier.LVM, "no loop device: "+string(out))
		}
		dev := strings.TrimSpace(string(out))
		t.Cleanup(func() { assert.NoError(t, exec.Command("losetup", "--detach", dev).Run()) })
		return dev
	}
	const size = 5<<20 + 512
	from, to := loop(size), loop(size)
	content := make([]byte, size)
	fill(content, 14)
	require.NoError(t, os.WriteFile(from, content, 0))
	src, err := blockcopy.OpenSource(from)
	require.NoError(t, err)
	defer src.Close()
	dst, fresh, err := blockcopy.OpenTarget(to, size)
	require.NoError(t, err)
	defer dst.Close()
	require.False(t, fresh)
	_, _, err = blockcopy.OpenTarget(to, size)
	require.ErrorIs(t, err, blockcopy.ErrBusy)
	_, _, err = blockcopy.OpenTarget(from, size+512)
	require.ErrorIs(t, err, blockcopy.ErrSize)
	carry(t, src, dst, blockcopy.NewTransfer(size))
	a, err := blockcopy.Sum(t.Context(), src, size)
	require.NoError(t, err)
	b, err := blockcopy.Sum(t.Context(), dst, size)
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.NoError(t, dst.Close())
	got, err := os.ReadFile(to)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
	require.NoError(t, src.Close())
}

func mincore(mem, vec []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)), uintptr(unsafe.Pointer(&vec[0])))
	if errno != 0 {
		return errno
	}
	return nil
}
