package blockcopy

import "unsafe"

func isAligned(p []byte) bool { return uintptr(unsafe.Pointer(unsafe.SliceData(p)))%BlockSize == 0 }

// aligned returns n bytes that begin at a block, as O_DIRECT wants them.
func aligned(n int) []byte {
	b := make([]byte, n+BlockSize)
	skip := (BlockSize - int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))%BlockSize)) % BlockSize
	return b[skip : skip+n : skip+n]
}
