package blockcopy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrSize: the two volumes have different sizes.
var ErrSize = errors.New("the sizes differ")

// File is a block device or a regular file as a volume. A device is read and
// written past the page cache (O_DIRECT) where it can be. A file is read out of
// it where it is there, and past it where it is not; what is written to a file
// leaves the page cache again.
type File struct {
	file   *os.File
	device bool
	past   *past // the way past the page cache; nil of a device, which has no other, and where there is none
	size   int64
	dirty  atomic.Int64 // bytes written since the last Sync
}

// What of a file waits in the page cache to be written, in bytes: at most, and
// before the disk is told to begin.
const (
	dirtyLimit = 64 << 20
	dirtyStep  = 8 << 20
)

// OpenSource opens a volume to read from it. Somebody else may be writing to
// it; then what is read is of no one moment.
func OpenSource(path string) (*File, error) { return openFile(path, os.O_RDONLY) }

// OpenTarget opens a volume of size bytes to write to it, alone: a device that
// is mounted, that a domain has or on which another one is built is refused
// with ErrBusy, and so is a file that another OpenTarget has. A file that is
// not there is made, sparse, and then fresh is true: it reads as zeros. What
// is there with another size is ErrSize.
func OpenTarget(path string, size int64) (f *File, fresh bool, err error) {
	info, err := os.Stat(path)
	flag := os.O_RDWR
	switch {
	case errors.Is(err, fs.ErrNotExist):
		flag |= os.O_CREATE | os.O_EXCL
		fresh = true
	case err != nil:
		return nil, false, err
	case info.Mode()&fs.ModeDevice != 0:
		flag |= os.O_EXCL
	}
	if f, err = openFile(path, flag); err != nil {
		if errors.Is(err, unix.EBUSY) {
			err = fmt.Errorf("%w (%w)", ErrBusy, err)
		}
		return nil, false, err
	}
	if !f.device {
		if err = unix.Flock(int(f.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			err = fmt.Errorf("%s: %w (%w)", path, ErrBusy, err)
		}
	}
	if err == nil && fresh {
		err = f.file.Truncate(size)
		f.size = size
	}
	if err == nil && f.size != size {
		err = fmt.Errorf("%s: %w: it has %d bytes, the source %d", path, ErrSize, f.size, size)
	}
	if err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	return f, fresh, nil
}

func openFile(path string, flag int) (*File, error) {
	f, err := os.OpenFile(path, flag|unix.O_NONBLOCK, 0o600) // a FIFO must not hold us up
	if err != nil {
		return nil, err
	}
	v := &File{file: f}
	if err := v.look(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return v, nil
}

// look finds out what the file is, and how to treat the page cache.
func (f *File) look() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	mode := info.Mode()
	f.device = mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0
	if !f.device && !mode.IsRegular() {
		return errors.New("is neither a block device nor a regular file")
	}
	if f.size, err = f.file.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	fd := int(f.file.Fd())
	if f.device {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_DIRECT)
		}
		if !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	if !f.device {
		f.past = openPast(f.file, f.size)
	}
	// No reading ahead: what is in the cache is then what others put there.
	return unix.Fadvise(fd, 0, 0, unix.FADV_RANDOM)
}

// Size is in bytes.
func (f *File) Size() int64 { return f.size }

// Identity tells volumes apart that have had the same path one after the other:
// the inode of a file, LVM's UUID of a volume. It is "" for other devices.
func (f *File) Identity() string {
	info, err := f.file.Stat()
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	if !f.device {
		return fmt.Sprintf("file %d:%d", st.Dev, st.Ino)
	}
	// Anything that device-mapper made, as a logical volume, has one.
	id, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/dm/uuid", unix.Major(st.Rdev), unix.Minor(st.Rdev)))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// Close implements io.Closer. It does not sync.
func (f *File) Close() error {
	err := f.file.Close()
	if f.past != nil {
		err = errors.Join(err, f.past.close())
	}
	return err
}

// ReadAt implements io.ReaderAt. Of a device, offset and length must be
// multiples of its sectors, and p aligned as this package's buffers are.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if f.device {
		return f.file.ReadAt(p, off)
	}
	if f.past != nil && f.past.better(p, off) {
		if n, err := f.past.file.ReadAt(p, off); !errors.Is(err, unix.EINVAL) {
			return n, err
		}
	}
	fd := int(f.file.Fd())
	n, err := unix.Preadv2(fd, [][]byte{p}, off, unix.RWF_NOWAIT)
	if err == nil && n == len(p) {
		return n, nil // it was in the cache, and stays
	}
	n = max(n, 0)
	k, err := f.file.ReadAt(p[n:], off+int64(n))
	_ = unix.Fadvise(fd, off+int64(n), int64(k), unix.FADV_DONTNEED)
	return n + k, err
}

// WriteAt implements io.WriterAt.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > f.size || int64(len(p)) > f.size-off {
		return 0, fmt.Errorf("%d bytes at %d do not fit into %d", len(p), off, f.size)
	}
	n, err := f.file.WriteAt(p, off)
	if err != nil || f.device {
		return n, err
	}
	switch now := f.dirty.Add(int64(n)); {
	case now >= dirtyLimit:
		err = f.Sync()
	case now/dirtyStep != (now-int64(n))/dirtyStep: // so that the disk works meanwhile; it is only a hint
		_ = unix.SyncFileRange(int(f.file.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	}
	return n, err
}

// Zero implements Volume: by BLKZEROOUT on a device, by a hole in a file, or
// else by writing.
func (f *File) Zero(offset, length int64) error {
	if offset < 0 || length < 0 || offset > f.size || length > f.size-offset {
		return fmt.Errorf("%d bytes at %d do not fit into %d", length, offset, f.size)
	}
	fd := int(f.file.Fd())
	var err error
	if f.device {
		span := [2]uint64{uint64(offset), uint64(length)}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.BLKZEROOUT, uintptr(unsafe.Pointer(&span))); errno != 0 {
			err = errno
		}
	} else {
		err = unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
	}
	if err == nil || !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	zeros := aligned(int(min(length, ExtentSize)))
	for length > 0 {
		n, err := f.WriteAt(zeros[:min(length, ExtentSize)], offset)
		if err != nil {
			return err
		}
		offset, length = offset+int64(n), length-int64(n)
	}
	return nil
}

// Sync returns when what was written is on the disk; a file's then leaves the
// page cache, so that it is the disk that is read afterwards.
func (f *File) Sync() error {
	f.dirty.Store(0)
	fd := int(f.file.Fd())
	if err := unix.Fdatasync(fd); err != nil {
		return &os.PathError{Op: "sync", Path: f.file.Name(), Err: err}
	}
	if !f.device {
		_ = unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)
	}
	return nil
}
