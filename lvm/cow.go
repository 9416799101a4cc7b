package lvm

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// The exception store of a dm-snapshot (drivers/md/dm-snap-persistent.c), all
// little endian, in chunks:
//
//	chunk 0            u32 magic "SnAp", u32 valid, u32 version, u32 chunk size in sectors
//	chunk 1+k*(E+1)    area k: E = chunk size/16 entries of u64 chunk of the
//	                   origin, u64 chunk of the store; a second number of 0 ends the table
//	all others         what the origin held in that chunk
const (
	cowMagic   = 0x70416e53
	cowVersion = 1
	sector     = 512
)

type cowHeader struct {
	chunk int64 // bytes
}

// readCOW returns which parts of an origin of originSize bytes have an
// exception in the store, which has storeSize bytes.
func readCOW(store io.ReaderAt, storeSize, originSize int64) ([]Extent, error) {
	before, err := readCOWHeader(store)
	if err != nil {
		return nil, err
	}
	chunks, err := before.exceptions(store, storeSize/before.chunk, (originSize+before.chunk-1)/before.chunk)
	if err != nil {
		return nil, err
	}
	// It may have overflowed while it was read.
	if after, err := readCOWHeader(store); err != nil || after != before {
		return nil, fmt.Errorf("the snapshot changed while it was read: %w", orInvalid(err))
	}
	return coalesce(chunks, before.chunk, originSize), nil
}

func orInvalid(err error) error {
	if err == nil {
		return ErrSnapshotInvalid
	}
	return err
}

func readCOWHeader(store io.ReaderAt) (cowHeader, error) {
	buf := make([]byte, ChunkSize)
	if _, err := store.ReadAt(buf, 0); err != nil {
		return cowHeader{}, fmt.Errorf("snapshot header: %w", err)
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(buf[4*i:]) }
	chunk := int64(word(3)) * sector
	switch {
	case word(0) != cowMagic:
		return cowHeader{}, fmt.Errorf("snapshot header: magic %#x", word(0))
	case word(1) == 0:
		return cowHeader{}, ErrSnapshotInvalid
	case word(2) != cowVersion:
		return cowHeader{}, fmt.Errorf("snapshot header: version %d", word(2))
	case chunk < ChunkSize || chunk > 1<<20 || chunk&(chunk-1) != 0:
		return cowHeader{}, fmt.Errorf("snapshot header: chunks of %d bytes", chunk)
	}
	return cowHeader{chunk: chunk}, nil
}

// exceptions walks the areas and returns the chunks of the origin in the order
// of the table.
func (h cowHeader) exceptions(store io.ReaderAt, stored, origin int64) ([]int64, error) {
	entries := h.chunk / 16
	area := make([]byte, h.chunk)
	var chunks []int64
	for at := int64(1); at < stored; at += entries + 1 {
		if _, err := store.ReadAt(area, at*h.chunk); err != nil {
			return nil, fmt.Errorf("snapshot table: %w", err)
		}
		for e := area; len(e) > 0; e = e[16:] {
			old, saved := binary.LittleEndian.Uint64(e), binary.LittleEndian.Uint64(e[8:])
			if saved == 0 {
				return chunks, nil
			}
			if old >= uint64(origin) || saved >= uint64(stored) || saved < 2 {
				return nil, fmt.Errorf("snapshot table: chunk %d of %d saved as %d of %d", old, origin, saved, stored)
			}
			chunks = append(chunks, int64(old))
		}
	}
	return chunks, nil
}

// coalesce sorts chunks and joins neighbours; the last one may be cut by the
// end of the volume.
func coalesce(chunks []int64, size, end int64) []Extent {
	slices.Sort(chunks)
	var out []Extent
	for _, c := range slices.Compact(chunks) {
		out = join(out, Extent{Offset: c * size, Length: min(size, end-c*size)})
	}
	return out
}
