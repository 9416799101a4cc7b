// Package wire is xenstore's protocol: messages of a header of four 32-bit
// numbers in host order and a body of at most 4096 bytes
// (xen/include/public/io/xs_wire.h).
package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Limits of the protocol, in bytes.
const (
	HeaderSize = 16
	MaxBody    = 4096
	MaxPath    = 3072
)

// Op is the type of a message. A reply has that of its request, or Error.
type Op uint32

// The types of xs_wire.h that this project speaks.
const (
	Control       Op = 0
	Directory     Op = 1
	Read          Op = 2
	GetPerms      Op = 3
	Watch         Op = 4
	Unwatch       Op = 5
	Start         Op = 6 // of a transaction
	End           Op = 7
	DomainPath    Op = 10
	Write         Op = 11
	Mkdir         Op = 12
	Remove        Op = 13
	SetPerms      Op = 14
	Event         Op = 15 // of a watch; no request has this type
	Error         Op = 16
	Introduced    Op = 17
	ResetWatches  Op = 21
	DirectoryPart Op = 22
)

// Message is a request, a reply or an event.
type Message struct {
	Op   Op
	ID   uint32 // a reply has that of its request; events have 0
	Tx   uint32 // the transaction; 0: none
	Body []byte
}

// Append appends the message to b as it is sent.
func (m Message) Append(b []byte) []byte {
	for _, n := range []uint32{uint32(m.Op), m.ID, m.Tx, uint32(len(m.Body))} {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	return append(b, m.Body...)
}

// Next reads one message. A body above MaxBody is refused before it is read:
// after that nothing in the stream can be trusted.
func Next(r io.Reader) (Message, error) {
	var head [HeaderSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Message{}, err
	}
	number := func(i int) uint32 { return binary.NativeEndian.Uint32(head[4*i:]) }
	size := number(3)
	if size > MaxBody {
		return Message{}, fmt.Errorf("a message of %d bytes, %d at most", size, MaxBody)
	}
	m := Message{Op: Op(number(0)), ID: number(1), Tx: number(2), Body: make([]byte, size)}
	if _, err := io.ReadFull(r, m.Body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Message{}, err
	}
	return m, nil
}

// Join returns strings with a NUL after each.
func Join(words ...string) []byte {
	var b []byte
	for _, w := range words {
		b = append(append(b, w...), 0)
	}
	return b
}

// Split is the reverse of Join; false: the last one has no NUL.
func Split(body []byte) ([]string, bool) {
	if len(body) == 0 {
		return nil, true
	}
	text, ok := strings.CutSuffix(string(body), "\x00")
	return strings.Split(text, "\x00"), ok
}

// ValidPath reports whether p is an absolute path that a node can have.
func ValidPath(p string) bool {
	if p == "/" {
		return true
	}
	return len(p) <= MaxPath && strings.HasPrefix(p, "/") && !strings.HasSuffix(p, "/") && !strings.Contains(p, "//") && !strings.ContainsFunc(p, outside)
}

// outside reports whether a rune is none of those that paths are made of.
func outside(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("-/_@", r)
}
