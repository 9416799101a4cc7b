package lvmtest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
)

// Remains is what the first bytes of each extent of an unwiped volume read as:
// what its last owner wrote.
const Remains = "the last owner's data\n"

// makeFile makes a file that reads as zeros.
func makeFile(path string, size int64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// makeDirty makes a file that begins each extent with Remains.
func makeDirty(path string, size, extent int64) error {
	if err := makeFile(path, size); err != nil {
		return err
	}
	return dirty(path, 0, size, extent)
}

// dirty begins each extent between two offsets with Remains.
func dirty(path string, from, to, extent int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for off := from; off < to; off += extent {
		if _, err := f.WriteAt([]byte(Remains), off); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// zeroFrom makes what is behind from read as zeros; the file stays sparse.
func zeroFrom(path string, from, size int64) error {
	return errors.Join(os.Truncate(path, from), os.Truncate(path, size))
}

// copyFile copies a volume; what reads as zeros stays a hole.
func copyFile(to, from string, size int64) error {
	if err := makeFile(to, size); err != nil {
		return err
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	const piece = 64 << 10
	buf, zeros := make([]byte, piece), make([]byte, piece)
	for off := int64(0); off < size; off += piece {
		n := min(piece, size-off)
		if _, err := src.ReadAt(buf[:n], off); err != nil {
			return errors.Join(err, dst.Close())
		}
		if bytes.Equal(buf[:n], zeros[:n]) {
			continue
		}
		if _, err := dst.WriteAt(buf[:n], off); err != nil {
			return errors.Join(err, dst.Close())
		}
	}
	return dst.Close()
}

// writeZeros is zero for a filesystem that can not make holes.
func writeZeros(f *os.File, offset, length int64) error {
	zeros := make([]byte, min(length, 1<<20))
	for length > 0 {
		n, err := f.WriteAt(zeros[:min(length, int64(len(zeros)))], offset)
		if err != nil {
			return err
		}
		offset, length = offset+int64(n), length-int64(n)
	}
	return nil
}
