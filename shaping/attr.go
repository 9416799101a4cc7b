package shaping

import (
	"bytes"
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// attr is a netlink attribute: what it is, and its value, or those of the
// attributes in it.
func attr(kind uint16, value ...[]byte) []byte {
	size := 4
	for _, v := range value {
		size += len(v)
	}
	out := make([]byte, 0, (size+3)&^3)
	out = binary.NativeEndian.AppendUint16(out, uint16(size))
	out = binary.NativeEndian.AppendUint16(out, kind)
	for _, v := range value {
		out = append(out, v...)
	}
	return append(out, make([]byte, -size&3)...)
}

func nest(kind uint16, value ...[]byte) []byte { return attr(kind|unix.NLA_F_NESTED, value...) }

func text(s string) []byte { return append([]byte(s), 0) }

func native32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func native64(n uint64) []byte { return binary.NativeEndian.AppendUint64(nil, n) }

func big32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// attrs goes over the attributes in b; what is cut short ends it.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			size := int(binary.NativeEndian.Uint16(b))
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if size < 4 || size > len(b) {
				return
			}
			if !yield(kind, b[4:size]) {
				return
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}

// find returns the value at the end of a path of kinds; nil if it is not there.
func find(b []byte, path ...uint16) []byte {
	for _, want := range path {
		var value []byte
		for kind, v := range attrs(b) {
			if kind == want {
				value = v
				break
			}
		}
		if value == nil {
			return nil
		}
		b = value
	}
	return b
}

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
