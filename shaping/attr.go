package shaping

import (
	"bytes"
	"encoding/binary"
)

func native32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func native64(n uint64) []byte { return binary.NativeEndian.AppendUint64(nil, n) }

func big32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// number32 and number64 read a number in the machine's order; a missing one is 0.
func number32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func number64(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.NativeEndian.Uint64(b)
}

// line is text up to its end.
func line(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
