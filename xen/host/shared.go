package host

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SharedDisk is a block device that several hosts see with the same content: an
// iSCSI LUN, a DRBD device that may be primary on both, a file on NFS behind a
// loop device with direct I/O. A move copies nothing of it, and it is never
// wiped or removed. There are no marks on it: who may write it is the owner
// record alone, so nothing but this package must start its guest.
type SharedDisk struct {
	Dev  string `json:"dev"`  // as the guest sees it: xvda
	Path string `json:"path"` // the same on every host, below one of Config.SharedDirs
	Size int64  `json:"size"` // bytes, exactly
}

func (d SharedDisk) validate() error {
	switch {
	case !filepath.IsAbs(d.Path) || filepath.Clean(d.Path) != d.Path:
		return fmt.Errorf("%w: shared disk %s has path %q", ErrInvalid, d.Dev, d.Path)
	case d.Size <= 0:
		return fmt.Errorf("%w: shared disk %s has size %d", ErrInvalid, d.Dev, d.Size)
	}
	return nil
}

// sharedFits says why a guest's shared disks can not be used here: definitions
// come from peers too, and a path is no proof of a right.
func (h *Host) sharedFits(g Guest, others []Guest) error {
	errs := []error{h.sharedThere(g)}
	for _, d := range g.Shared {
		if !slices.ContainsFunc(h.shared, func(dir string) bool { return strings.HasPrefix(d.Path, strings.TrimRight(dir, "/")+"/") }) {
			errs = append(errs, fmt.Errorf("shared disk %s: %w: %s is in no folder of shared disks of this host (%q)", d.Dev, ErrForeign, d.Path, h.shared))
		}
		for _, o := range others {
			if slices.ContainsFunc(o.Shared, func(e SharedDisk) bool { return e.Path == d.Path }) {
				errs = append(errs, fmt.Errorf("shared disk %s: %w: guest %s has %s", d.Dev, ErrForeign, o.UUID, d.Path))
			}
		}
	}
	return errors.Join(errs...)
}

// sharedThere looks whether the devices are there and have their size.
func (h *Host) sharedThere(g Guest) error {
	var errs []error
	for _, d := range g.Shared {
		f, err := openShared(d)
		if err != nil {
			errs = append(errs, fmt.Errorf("shared disk %s: %w", d.Dev, err))
			continue
		}
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// openShared opens for reading, past this host's page cache, which may be older
// than what another host wrote.
func openShared(d SharedDisk) (*os.File, error) {
	f, err := os.OpenFile(d.Path, os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.OpenFile(d.Path, os.O_RDONLY, 0) // a file system without direct I/O, which is one of a test
	}
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size != d.Size {
		err = fmt.Errorf("%w: %s has %d bytes here, not %d", ErrInvalid, d.Path, size, d.Size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

const (
	sampleSize  = 4096
	sampleCount = 256
)

// Sample is a hash of blocks all over a shared disk of the guest, read past the
// page cache. While nobody writes, hosts that see one and the same disk get the
// same.
func (l *Hold) Sample(dev string) (sum [sha256.Size]byte, err error) {
	g, err := l.Definition()
	if err == nil {
		i := slices.IndexFunc(g.Shared, func(d SharedDisk) bool { return d.Dev == dev })
		if i < 0 {
			err = fmt.Errorf("shared disk %q: %w", dev, fs.ErrNotExist)
		} else {
			sum, err = sample(g.Shared[i])
		}
	}
	if err != nil {
		return sum, &Error{Op: "sample", Name: l.name(), Err: err}
	}
	return sum, nil
}

func sample(d SharedDisk) (sum [sha256.Size]byte, err error) {
	f, err := openShared(d)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	buf := make([]byte, 2*sampleSize)
	skip := sampleSize - int(uintptr(unsafe.Pointer(&buf[0]))%sampleSize) //nolint:gosec // direct I/O wants whole pages
	buf = buf[skip : skip+sampleSize]
	hash, blocks := sha256.New(), (d.Size+sampleSize-1)/sampleSize
	for i := range min(sampleCount, blocks) {
		n, err := f.ReadAt(buf, i*blocks/min(sampleCount, blocks)*sampleSize)
		if err != nil && !errors.Is(err, io.EOF) {
			return sum, fmt.Errorf("read %s: %w", d.Path, err)
		}
		hash.Write(buf[:n])
	}
	return [sha256.Size]byte(hash.Sum(nil)), nil
}
