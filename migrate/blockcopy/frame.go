package blockcopy

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	// MaxFrame is how many bytes a frame stands for at most.
	MaxFrame = 1 << 20

	headerSize = 40
	hashSize   = 16
)

const (
	typeData byte = 1
	typeZero byte = 2
	typeEnd  byte = 3

	codecPlain byte = 0
	codecZstd  byte = 1
)

// ErrStream: the stream is not one that a sender with this Transfer makes:
// cut, damaged, repeated, or out of the volume's bounds.
var ErrStream = errors.New("bad stream")

// Transfer is what both ends of one stream agree on beforehand.
type Transfer struct {
	Key  [32]byte `json:"key"`  // random, new for each stream
	Size int64    `json:"size"` // of the volume, in bytes
	// Fresh tells that the receiving volume reads as zeros, so that zeros need
	// not be sent.
	Fresh bool `json:"fresh,omitempty"`
}

// NewTransfer returns a Transfer with a key of its own.
func NewTransfer(size int64) Transfer {
	t := Transfer{Size: size}
	rand.Read(t.Key[:]) // never fails
	return t
}

// Stats is what went through one end of a stream.
type Stats struct {
	Frames int64 `json:"frames"`
	Read   int64 `json:"read"`  // bytes that the sender read from its volume; 0 at the receiver
	Data   int64 `json:"data"`  // bytes of the volume that were carried as data
	Zeros  int64 `json:"zeros"` // bytes that were carried as a word that they are zeros
	Wire   int64 `json:"wire"`  // bytes of the stream
}

type header struct {
	typ, codec byte
	offset     int64
	raw, coded uint32
	hash       [hashSize]byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (h header) put(b []byte) {
	b[0], b[1], b[2], b[3] = h.typ, h.codec, 0, 0
	binary.LittleEndian.PutUint64(b[4:], uint64(h.offset))
	binary.LittleEndian.PutUint32(b[12:], h.raw)
	binary.LittleEndian.PutUint32(b[16:], h.coded)
	copy(b[20:36], h.hash[:])
	binary.LittleEndian.PutUint32(b[36:], crc32.Checksum(b[:36], castagnoli))
}

// parseHeader takes 40 bytes. It refuses what no sender writes, whatever the
// volume: see check for that.
func parseHeader(b []byte) (header, error) {
	if crc32.Checksum(b[:36], castagnoli) != binary.LittleEndian.Uint32(b[36:]) {
		return header{}, fmt.Errorf("%w: a header is damaged", ErrStream)
	}
	h := header{
		typ: b[0], codec: b[1],
		offset: int64(binary.LittleEndian.Uint64(b[4:])),
		raw:    binary.LittleEndian.Uint32(b[12:]),
		coded:  binary.LittleEndian.Uint32(b[16:]),
	}
	copy(h.hash[:], b[20:36])
	ok := b[2] == 0 && b[3] == 0 && h.offset >= 0
	switch h.typ {
	case typeData:
		ok = ok && h.raw > 0 && h.raw <= MaxFrame && h.coded > 0 &&
			(h.codec == codecPlain && h.coded == h.raw || h.codec == codecZstd && h.coded < h.raw)
	case typeZero:
		ok = ok && h.raw > 0 && h.raw <= MaxFrame && h.coded == 0 && h.codec == codecPlain && h.hash == [hashSize]byte{}
	case typeEnd:
		ok = ok && h.raw == 0 && h.coded == sha256.Size && h.codec == codecPlain && h.hash == [hashSize]byte{}
	default:
		ok = false
	}
	if !ok {
		return header{}, fmt.Errorf("%w: a frame of type %d, codec %d, %d bytes as %d at %d", ErrStream, h.typ, h.codec, h.raw, h.coded, h.offset)
	}
	return h, nil
}

// check refuses a frame that reaches out of the volume or back behind from.
func (h header) check(size, from int64) error {
	switch {
	case h.offset > size || int64(h.raw) > size-h.offset:
		return fmt.Errorf("%w: %d bytes at %d do not fit into %d", ErrStream, h.raw, h.offset, size)
	case h.offset < from:
		return fmt.Errorf("%w: a frame at %d after one that ended at %d", ErrStream, h.offset, from)
	}
	return nil
}

func (t Transfer) hash(raw []byte) (cut [hashSize]byte) {
	d := sha256.New()
	d.Write(t.Key[:])
	d.Write(raw)
	copy(cut[:], d.Sum(nil))
	return cut
}
