//go:build !linux

package lvmtest

import "os"

func zero(f *os.File, offset, length int64) error { return writeZeros(f, offset, length) }
