// Package nlattr makes and reads the attributes of netlink messages
// (linux/netlink.h), in the machine's byte order.
package nlattr

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// New makes an attribute: what it is, and its value, or those of the attributes
// in it.
func New(kind uint16, value ...[]byte) []byte {
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

// Nest is New for an attribute that holds others.
func Nest(kind uint16, value ...[]byte) []byte { return New(kind|unix.NLA_F_NESTED, value...) }

// Text is a value that is text, with its end.
func Text(s string) []byte { return append([]byte(s), 0) }

// All goes over the attributes in b; what is cut short ends it.
func All(b []byte) iter.Seq2[uint16, []byte] {
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

// Find returns the value at the end of a path of kinds; nil if it is not there.
func Find(b []byte, path ...uint16) []byte {
	for _, want := range path {
		var value []byte
		for kind, v := range All(b) {
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
