package blockcopy

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

const (
	// BlockSize is the unit that is compared, skipped and written, in bytes.
	BlockSize = 4096
	// ExtentSize is what one frame is about at most, in bytes: what a transfer
	// that was cut sends again.
	ExtentSize = 1 << 20
)

var (
	// ErrStream: the stream is not one that a sender with this Transfer makes:
	// cut, damaged, repeated, or out of the volume's bounds.
	ErrStream = errors.New("bad stream")
	// ErrBase: a delta was made for another generation than the receiver
	// holds. Nothing was written.
	ErrBase = errors.New("the delta is for another generation")
)

// Transfer is what both ends of one stream agree on beforehand.
type Transfer struct {
	Key  [32]byte `json:"key"`  // random, new for each transfer
	Size int64    `json:"size"` // of the volume, in bytes
	// Fresh tells that the receiving volume reads as zeros at the beginning, so
	// that zeros need not be sent. One that goes on and has no Index sends them:
	// something else may have been written there before it was cut.
	Fresh bool `json:"fresh,omitempty"`
	// Base is the generation that the receiver must hold for a delta to fit.
	Base Generation `json:"base,omitzero"`
	// From is where a transfer that was cut goes on; zero is the beginning.
	From Point `json:"from,omitzero"`
}

// NewTransfer returns a Transfer with a key of its own.
func NewTransfer(size int64) Transfer {
	t := Transfer{Size: size}
	rand.Read(t.Key[:]) // never fails
	return t
}

// Point is a place in a stream between two frames.
type Point struct {
	Offset int64    `json:"offset"` // in the volume: what lies below was dealt with
	Frames int64    `json:"frames"` // before it
	Root   [32]byte `json:"root"`   // over the Transfer and the headers before it
}

// begin returns the point at which the stream begins.
func (t Transfer) begin() Point {
	if t.From != (Point{}) {
		return t.From
	}
	d := sha256.New()
	d.Write([]byte("xenhost blockcopy 2"))
	d.Write(t.Key[:])
	d.Write(t.Base[:])
	d.Write(binary.LittleEndian.AppendUint64(nil, uint64(t.Size)))
	var p Point
	d.Sum(p.Root[:0])
	return p
}

// after returns the point behind a frame.
func (p Point) after(h header, head []byte) Point {
	d := sha256.New()
	d.Write(p.Root[:])
	d.Write(head)
	next := Point{Offset: h.offset + int64(h.span), Frames: p.Frames + 1}
	d.Sum(next.Root[:0])
	return next
}

// hash proves a frame: its header up to the hash, and what it stands for.
func (t Transfer) hash(head, raw []byte) (cut [hashSize]byte) {
	d := sha256.New()
	d.Write(t.Key[:])
	d.Write(head[:hashAt])
	d.Write(raw)
	copy(cut[:], d.Sum(nil))
	return cut
}

// Generation names a content that a receiver had in full: the root of the
// transfer that ended with it, which has the generation before it as its base.
// The zero Generation is no content at all.
type Generation [32]byte

// String is hexadecimal.
func (g Generation) String() string { return hex.EncodeToString(g[:]) }

// MarshalText implements encoding.TextMarshaler.
func (g Generation) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (g *Generation) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(g) {
		return fmt.Errorf("%q is no generation", text)
	}
	copy(g[:], b)
	return nil
}

// Stats is what went through one end of a stream.
type Stats struct {
	Frames int64 `json:"frames"`
	Read   int64 `json:"read"`  // bytes that the sender read from its volume; 0 at the receiver
	Data   int64 `json:"data"`  // bytes of the volume that were carried as data
	Zeros  int64 `json:"zeros"` // bytes that were carried as a word that they are zeros
	Wire   int64 `json:"wire"`  // bytes of the stream
	// Next is where a transfer that was cut goes on: everything before it has
	// arrived and, at the receiver, is written. Behind END its root names the
	// generation.
	Next Point `json:"next,omitzero"`
}

// Generation is what the receiver holds when the transfer ended well.
func (s Stats) Generation() Generation { return s.Next.Root }

// add counts a stream that came after the others.
func (s *Stats) add(o Stats) {
	s.Frames, s.Read, s.Data, s.Zeros, s.Wire = s.Frames+o.Frames, s.Read+o.Read, s.Data+o.Data, s.Zeros+o.Zeros, s.Wire+o.Wire
	s.Next = o.Next
}

func (s *Stats) count(h header) {
	s.Frames++
	s.Wire += headerSize + int64(h.coded)
	switch h.typ {
	case typeZero:
		s.Zeros += int64(h.raw)
	case typeData:
		s.Data += int64(h.raw)
	}
}
