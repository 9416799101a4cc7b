package lvmtest

import (
	"os"

	"golang.org/x/sys/unix"
)

// zero makes a hole, so that a test of a large volume stays small.
func zero(f *os.File, offset, length int64) error {
	if length == 0 {
		return nil
	}
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length); err == nil {
		return nil
	}
	return writeZeros(f, offset, length)
}
