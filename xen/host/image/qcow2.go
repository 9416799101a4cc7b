package image

import (
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// qcow2 reads the present state of a qcow2 image (versions 2 and 3) as the disk
// that it stands for: docs/interop/qcow2.txt of QEMU. It is for one reader at a
// time.
type qcow2 struct {
	file     io.ReaderAt
	fileSize int64
	size     int64 // of the disk
	cluster  int64
	bits     uint // cluster is 1<<bits
	zstd     bool
	l1       []byte
	l2       []byte // the table last read
	l2at     int64
	unpacked []byte // the compressed cluster last read
	from     uint64 // its L2 entry; 0 is none
}

// Bits of incompatible_features and of table entries.
const (
	featureDirty       = 1 << 0 // its reference counts are stale: nothing to a reader
	featureCompression = 1 << 3

	offsetMask = 0x00fffffffffffe00
	compressed = 1 << 62
	zero       = 1 << 0

	maxL1      = 32 << 20 // bytes, QEMU's own limit
	headerSize = 104
)

func newQcow2(file io.ReaderAt, fileSize int64) (*qcow2, error) {
	var h [headerSize + 8]byte
	if n, err := file.ReadAt(h[:], 0); err != nil && !errors.Is(err, io.EOF) || n < 72 {
		return nil, errors.Join(err, fmt.Errorf("%w: no qcow2 header", ErrInvalid))
	}
	u32, u64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	version := u32(h[4:])
	switch {
	case string(h[:4]) != "QFI\xfb":
		return nil, fmt.Errorf("%w: not qcow2", ErrInvalid)
	case version != 2 && version != 3:
		return nil, fmt.Errorf("qcow2 version %d: %w", version, errors.ErrUnsupported)
	case u64(h[8:]) != 0:
		return nil, fmt.Errorf("it names a backing file; flatten it: %w", errors.ErrUnsupported)
	case u32(h[32:]) != 0:
		return nil, fmt.Errorf("it is encrypted: %w", errors.ErrUnsupported)
	}
	q := &qcow2{file: file, fileSize: fileSize, bits: uint(u32(h[20:])), l2at: -1}
	size, l1size, l1at := u64(h[24:]), u32(h[36:]), u64(h[40:])
	if q.bits < 9 || q.bits > 21 || size >= 1<<56 {
		return nil, fmt.Errorf("%w: clusters of 2^%d bytes, disk of %d", ErrInvalid, q.bits, size)
	}
	q.cluster, q.size = 1<<q.bits, int64(size)
	if version == 3 {
		features := u64(h[72:])
		if features&^(featureDirty|featureCompression) != 0 {
			return nil, fmt.Errorf("qcow2 features %#x: %w", features, errors.ErrUnsupported)
		}
		if features&featureCompression != 0 {
			if h[headerSize] > 1 || u32(h[100:]) <= headerSize {
				return nil, fmt.Errorf("compression type %d: %w", h[headerSize], errors.ErrUnsupported)
			}
			q.zstd = h[headerSize] == 1
		}
	}
	perTable := q.cluster / 8 * q.cluster // bytes of the disk that an L1 entry stands for
	entries := (q.size + perTable - 1) / perTable
	if int64(l1size) < entries || entries*8 > maxL1 || l1at > uint64(fileSize) {
		return nil, fmt.Errorf("%w: a first table of %d entries at %d for a disk of %d bytes", ErrInvalid, l1size, l1at, size)
	}
	q.l1 = make([]byte, entries*8)
	if _, err := file.ReadAt(q.l1, int64(l1at)); err != nil && len(q.l1) > 0 {
		return nil, fmt.Errorf("first table: %w", cut(err))
	}
	return q, nil
}

// cut names an end of the file where there should be something.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the file is cut short", ErrInvalid)
	}
	return err
}

// ReadAt implements io.ReaderAt.
func (q *qcow2) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		if at >= q.size {
			return n, io.EOF
		}
		piece := p[n:min(int64(len(p)), int64(n)+q.cluster-at%q.cluster, int64(n)+q.size-at)]
		if err := q.readCluster(piece, at); err != nil {
			return n, fmt.Errorf("at %d: %w", at, err)
		}
		n += len(piece)
	}
	return n, nil
}

// readCluster reads a piece of one cluster.
func (q *qcow2) readCluster(p []byte, at int64) error {
	entry, err := q.entry(at)
	if err != nil {
		return err
	}
	within := at % q.cluster
	switch offset := int64(entry & offsetMask); {
	case entry&compressed != 0:
		if err := q.unpack(entry); err != nil {
			return err
		}
		copy(p, q.unpacked[within:])
		return nil
	case entry&zero != 0 || offset == 0:
		clear(p)
		return nil
	case offset >= q.fileSize:
		return fmt.Errorf("%w: data at %d of a file of %d bytes", ErrInvalid, offset, q.fileSize)
	default:
		n, err := q.file.ReadAt(p, offset+within)
		if errors.Is(err, io.EOF) { // the last cluster of a file may be cut off where zeros follow
			clear(p[n:])
			err = nil
		}
		return err
	}
}

// entry returns the L2 entry of what is at a place of the disk; 0 is zeros.
func (q *qcow2) entry(at int64) (uint64, error) {
	perTable := q.cluster / 8
	number := at / q.cluster
	table := int64(binary.BigEndian.Uint64(q.l1[number/perTable*8:]) & offsetMask)
	if table == 0 {
		return 0, nil
	}
	if table != q.l2at {
		q.l2at = -1
		if q.l2 == nil {
			q.l2 = make([]byte, q.cluster)
		}
		if _, err := q.file.ReadAt(q.l2, table); err != nil {
			return 0, fmt.Errorf("second table at %d: %w", table, cut(err))
		}
		q.l2at = table
	}
	return binary.BigEndian.Uint64(q.l2[number%perTable*8:]), nil
}

// unpack inflates a compressed cluster.
func (q *qcow2) unpack(entry uint64) error {
	if q.from == entry {
		return nil
	}
	q.from = 0
	shift := 62 - (q.bits - 8)
	offset := int64(entry & (1<<shift - 1))
	sectors := int64(entry&(1<<62-1)>>shift) + 1
	packed := io.NewSectionReader(q.file, offset, sectors*512-offset%512)
	if q.unpacked == nil {
		q.unpacked = make([]byte, q.cluster)
	}
	var r io.Reader
	if q.zstd {
		d, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return err
		}
		defer d.Close()
		r = d
	} else {
		r = flate.NewReader(packed)
	}
	if _, err := io.ReadFull(r, q.unpacked); err != nil {
		return fmt.Errorf("%w: compressed cluster at %d: %w", ErrInvalid, offset, err)
	}
	q.from = entry
	return nil
}
