package lvm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// device is an open block device. Everything goes past the page cache, so
// buffers, offsets and lengths must be multiples of a block: what is not goes
// through an aligned buffer of its own.
type device struct {
	file  *os.File
	size  int64
	block int64
	// edges lets writes of whole blocks run together, and one write that has
	// to read a block's rest first run alone.
	edges sync.RWMutex
}

// bounceSize is the largest piece of an unaligned transfer, in bytes.
const bounceSize = 1 << 20

func openDevice(path string) (*device, error)   { return openWith(path, os.O_RDWR) }
func openReadOnly(path string) (*device, error) { return openWith(path, os.O_RDONLY) }

// openAlone fails with ErrBusy if another process did the same. Who opened the
// device without O_EXCL is not noticed.
func openAlone(path string) (*device, error) {
	d, err := openWith(path, os.O_RDWR|os.O_EXCL)
	if errors.Is(err, unix.EBUSY) {
		return nil, ErrBusy
	}
	return d, err
}

func openWith(path string, flag int) (*device, error) {
	f, err := os.OpenFile(path, flag|unix.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	d := &device{file: f, block: 4096}
	if d.size, err = f.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if n, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET); err == nil && n > 0 {
		d.block = int64(n)
	}
	return d, nil
}

func (d *device) Size() int64  { return d.size }
func (d *device) Close() error { return d.file.Close() }

// Sync flushes the disk's own cache too.
func (d *device) Sync() error {
	return d.control(func(fd uintptr) error { return unix.Fdatasync(int(fd)) })
}

func (d *device) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%w offset %d", ErrInvalid, off)
	}
	if off >= d.size {
		return 0, io.EOF
	}
	want := int64(len(p))
	p = p[:min(want, d.size-off)]
	n, err := d.readAt(p, off)
	if err == nil && int64(n) < want {
		err = io.EOF
	}
	return n, err
}

func (d *device) readAt(p []byte, off int64) (int, error) {
	if d.aligned(p, off) {
		return d.file.ReadAt(p, off)
	}
	bounce := d.bounce(p, off)
	done := 0
	for done < len(p) {
		start, n := d.piece(bounce, off+int64(done), len(p)-done)
		if _, err := d.file.ReadAt(bounce[:n], start); err != nil {
			return done, err
		}
		done += copy(p[done:], bounce[off+int64(done)-start:n])
	}
	return done, nil
}

func (d *device) WriteAt(p []byte, off int64) (int, error) {
	if err := d.inside(off, int64(len(p))); err != nil {
		return 0, err
	}
	if off%d.block == 0 && int64(len(p))%d.block == 0 {
		d.edges.RLock()
		defer d.edges.RUnlock()
	} else {
		d.edges.Lock()
		defer d.edges.Unlock()
	}
	if d.aligned(p, off) {
		return d.file.WriteAt(p, off)
	}
	bounce := d.bounce(p, off)
	done := 0
	for done < len(p) {
		at := off + int64(done)
		start, n := d.piece(bounce, at, len(p)-done)
		count := min(int64(len(p)-done), start+n-at)
		if at > start || at+count < start+n { // the rest of its blocks stays
			if _, err := d.file.ReadAt(bounce[:n], start); err != nil {
				return done, err
			}
		}
		copy(bounce[at-start:], p[done:done+int(count)])
		if _, err := d.file.WriteAt(bounce[:n], start); err != nil {
			return done, err
		}
		done += int(count)
	}
	return done, nil
}

// Zero zeroes whole blocks by BLKZEROOUT, which writes nothing where the disk
// can zero by itself, and the rest by writing.
func (d *device) Zero(offset, length int64) error {
	if err := d.inside(offset, length); err != nil {
		return err
	}
	end := offset + length
	first := min((offset+d.block-1)/d.block*d.block, end)
	last := max(end/d.block*d.block, first)
	if err := d.writeZeros(offset, first-offset); err != nil {
		return err
	}
	for at := first; at < last; at += wipeStep {
		n := min(wipeStep, last-at)
		err := d.zeroOut(at, n)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
			err = d.writeZeros(at, n)
		}
		if err != nil {
			return err
		}
	}
	return d.writeZeros(last, end-last)
}

func (d *device) zeroOut(offset, length int64) error {
	d.edges.RLock()
	defer d.edges.RUnlock()
	span := [2]uint64{uint64(offset), uint64(length)}
	return d.control(func(fd uintptr) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.BLKZEROOUT, uintptr(unsafe.Pointer(&span)))
		if errno != 0 {
			return errno
		}
		return nil
	})
}

func (d *device) writeZeros(offset, length int64) error {
	zeros := alignedBuffer(min(length, bounceSize))
	for length > 0 {
		n, err := d.WriteAt(zeros[:min(length, bounceSize)], offset)
		if err != nil {
			return err
		}
		offset, length = offset+int64(n), length-int64(n)
	}
	return nil
}

func (d *device) control(do func(fd uintptr) error) error {
	raw, err := d.file.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	if err := raw.Control(func(fd uintptr) { failure = do(fd) }); err != nil {
		return err
	}
	if errno := syscall.Errno(0); errors.As(failure, &errno) {
		return &os.PathError{Op: "control", Path: d.file.Name(), Err: errno}
	}
	return failure
}

func (d *device) inside(offset, length int64) error {
	if offset < 0 || length < 0 || offset > d.size || length > d.size-offset {
		return fmt.Errorf("%w range: %d bytes at %d of %d", ErrInvalid, length, offset, d.size)
	}
	return nil
}

func (d *device) aligned(p []byte, off int64) bool {
	return off%d.block == 0 && int64(len(p))%d.block == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(p)))%uintptr(d.block) == 0
}

// bounce returns a buffer that holds the transfer with its blocks' rests, or a
// piece of it.
func (d *device) bounce(p []byte, off int64) []byte {
	start := off / d.block * d.block
	end := (off + int64(len(p)) + d.block - 1) / d.block * d.block
	return alignedBuffer(min(end-start, bounceSize))
}

// piece returns the whole blocks around a transfer that fit in bounce.
func (d *device) piece(bounce []byte, off int64, length int) (start, n int64) {
	start = off / d.block * d.block
	end := (off + int64(length) + d.block - 1) / d.block * d.block
	return start, min(end-start, int64(len(bounce)))
}

// alignedBuffer returns n bytes that begin at a page.
func alignedBuffer(n int64) []byte {
	const page = 4096
	buf := make([]byte, n+page)
	skip := (page - uintptr(unsafe.Pointer(unsafe.SliceData(buf)))%page) % page
	return buf[skip : int64(skip)+n]
}
