package blockcopy

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// past reads a regular file past the page cache, and knows what of it is there.
type past struct {
	file *os.File // O_DIRECT
	mem  []byte   // the file's pages, for mincore; never touched
}

// openPast returns nil where the filesystem has no such way.
func openPast(f *os.File, size int64) *past {
	if size == 0 {
		return nil
	}
	direct, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return nil
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		_ = direct.Close()
		return nil
	}
	return &past{direct, mem}
}

func (d *past) close() error { return errors.Join(d.file.Close(), unix.Munmap(d.mem)) }

// better tells whether p can be read past the page cache, and is not there: to
// ask the page cache itself would have the kernel bring it in.
func (d *past) better(p []byte, off int64) bool {
	if off < 0 || off%BlockSize != 0 || len(p)%BlockSize != 0 || !isAligned(p) || len(p) == 0 || off+int64(len(p)) > int64(len(d.mem)) {
		return false
	}
	var pages [blocksPerExtent]byte
	if len(p) > len(pages)*BlockSize {
		return false
	}
	mem, vec := d.mem[off:off+int64(len(p))], pages[:len(p)/BlockSize]
	_, _, errno := syscall.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(len(mem)), uintptr(unsafe.Pointer(unsafe.SliceData(vec))))
	return errno == 0 && slices.ContainsFunc(vec, func(b byte) bool { return b&1 == 0 })
}
