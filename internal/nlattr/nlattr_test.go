package nlattr_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/nlattr"
)

func TestFind(t *testing.T) {
	message := append(nlattr.New(1, []byte{9}), // padded to 4 bytes
		nlattr.Nest(2, nlattr.New(3, nlattr.Text("web1")), nlattr.New(4, []byte{1, 2}, []byte{3}))...)
	assert.Len(t, message, 8+4+12+8)
	assert.Equal(t, []byte{9}, nlattr.Find(message, 1))
	assert.Equal(t, []byte("web1\x00"), nlattr.Find(message, 2, 3))
	assert.Equal(t, []byte{1, 2, 3}, nlattr.Find(message, 2, 4))
	for _, path := range [][]uint16{{3}, {2, 1}, {1, 1}, {2, 3, 1}} {
		assert.Nil(t, nlattr.Find(message, path...), path)
	}
	assert.Equal(t, uint16(2|unix.NLA_F_NESTED), binary.NativeEndian.Uint16(message[10:]))
}

// What the kernel, or a file, has cut short ends the list, and nothing panics.
func FuzzAll(f *testing.F) {
	f.Add(nlattr.New(1, []byte{9}))
	f.Add([]byte{3, 0, 1, 0, 0})
	f.Add([]byte{255, 255, 1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		for _, value := range nlattr.All(b) {
			n += 4 + len(value)
		}
		assert.LessOrEqual(t, n, len(b))
	})
}
