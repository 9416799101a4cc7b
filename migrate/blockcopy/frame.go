package blockcopy

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const (
	headerSize = 76
	hashAt     = 56 // what stands before the hash is proven by it
	hashSize   = 16
	rootSize   = 32
)

const (
	typeData byte = 1
	typeZero byte = 2
	typeEnd  byte = 3

	codecPlain byte = 0
	codecZstd  byte = 1
)

// header is a frame without its payload.
type header struct {
	typ, codec byte
	offset     int64  // of the extent, a multiple of ExtentSize; of END: the frames before it
	raw        uint32 // bytes of the blocks
	coded      uint32 // bytes of the payload
	payload    uint32 // CRC-32C of the payload
	blocks     blocks
	hash       [hashSize]byte

	span int // bytes of the extent that the volume has; not in the stream
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// put writes all but the hash, which seal adds.
func (h *header) put(b []byte) {
	b[0], b[1], b[2], b[3] = h.typ, h.codec, 0, 0
	binary.LittleEndian.PutUint32(b[4:], h.raw)
	binary.LittleEndian.PutUint64(b[8:], uint64(h.offset))
	binary.LittleEndian.PutUint32(b[16:], h.coded)
	binary.LittleEndian.PutUint32(b[20:], h.payload)
	h.blocks.put(b[24:])
}

// seal writes the header into b, proven together with raw.
func (h *header) seal(b []byte, t Transfer, raw []byte) {
	h.put(b)
	h.hash = t.hash(b, raw)
	copy(b[hashAt:], h.hash[:])
	binary.LittleEndian.PutUint32(b[hashAt+hashSize:], crc32.Checksum(b[:hashAt+hashSize], castagnoli))
}

// parseHeader takes a header's bytes. It refuses what no sender writes,
// whatever the volume: see check for that.
func parseHeader(b []byte) (header, error) {
	if crc32.Checksum(b[:hashAt+hashSize], castagnoli) != binary.LittleEndian.Uint32(b[hashAt+hashSize:]) {
		return header{}, fmt.Errorf("%w: a header is damaged", ErrStream)
	}
	h := header{
		typ: b[0], codec: b[1],
		raw:     binary.LittleEndian.Uint32(b[4:]),
		offset:  int64(binary.LittleEndian.Uint64(b[8:])),
		coded:   codedSize(b),
		payload: binary.LittleEndian.Uint32(b[20:]),
	}
	h.blocks.get(b[24:])
	copy(h.hash[:], b[hashAt:])
	ok := b[2] == 0 && b[3] == 0 && h.offset >= 0
	switch h.typ {
	case typeData:
		ok = ok && h.raw > 0 && h.raw <= ExtentSize && h.coded > 0 &&
			(h.codec == codecPlain && h.coded == h.raw || h.codec == codecZstd && h.coded < h.raw)
	case typeZero:
		ok = ok && h.raw > 0 && h.raw <= ExtentSize && h.coded == 0 && h.payload == 0 && h.codec == codecPlain
	case typeEnd:
		ok = ok && h.raw == 0 && h.coded == rootSize && h.codec == codecPlain && h.blocks == blocks{}
	default:
		ok = false
	}
	if !ok {
		return header{}, fmt.Errorf("%w: a frame of type %d, codec %d, %d bytes as %d at %d", ErrStream, h.typ, h.codec, h.raw, h.coded, h.offset)
	}
	return h, nil
}

// codedSize is the length of the payload behind a header's bytes.
func codedSize(b []byte) uint32 { return binary.LittleEndian.Uint32(b[16:]) }

// check refuses a frame that is not one of a volume of size bytes, or lies
// before from. It sets span.
func (h *header) check(size, from int64) error {
	switch {
	case h.offset%ExtentSize != 0 || h.offset >= size:
		return fmt.Errorf("%w: no extent of %d bytes begins at %d", ErrStream, size, h.offset)
	case h.offset < from:
		return fmt.Errorf("%w: a frame at %d after one that ended at %d", ErrStream, h.offset, from)
	}
	h.span = int(min(ExtentSize, size-h.offset))
	if h.blocks.bytes(h.span) != int(h.raw) {
		return fmt.Errorf("%w: the blocks of the frame at %d are not the %d bytes that it says", ErrStream, h.offset, h.raw)
	}
	return nil
}
