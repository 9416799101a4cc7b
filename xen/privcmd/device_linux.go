package privcmd

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is /dev/xen/privcmd, and memory from /dev/xen/hypercall, which stays
// where it is: the hypervisor writes to it by its address and can not take a
// page fault.
type kernel struct {
	file   *os.File
	memory []byte
}

func openDevice() (device, error) {
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("%w: only the layout of x86 is known", errors.ErrUnsupported)
	}
	file, err := os.OpenFile("/dev/xen/privcmd", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	pages, err := os.OpenFile("/dev/xen/hypercall", os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	defer pages.Close() // the mapping stays
	memory, err := unix.Mmap(int(pages.Fd()), 0, listAt+listSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map /dev/xen/hypercall: %w", err), file.Close())
	}
	return &kernel{file: file, memory: memory}, nil
}

func (k *kernel) buffer() ([]byte, uint64) {
	return k.memory, uint64(uintptr(unsafe.Pointer(&k.memory[0])))
}

// call makes a hypercall with one argument: IOCTL_PRIVCMD_HYPERCALL of
// xen/privcmd.h.
func (k *kernel) call(op, arg uint64) error {
	request := struct{ op, a0, a1, a2, a3, a4 uint64 }{op: op, a0: arg}
	const ioctl = uintptr(unsafe.Sizeof(request))<<16 | 'P'<<8
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, k.file.Fd(), ioctl, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(k)
	switch errno {
	case 0:
		return nil
	case unix.EACCES: // what Xen says to a version that it does not have
		return fmt.Errorf("%w: xen has another version of its control interface than %#x, or this is not dom0", errors.ErrUnsupported, sysctlVersion)
	}
	return errno
}

func (k *kernel) Close() error {
	return errors.Join(unix.Munmap(k.memory), k.file.Close())
}
