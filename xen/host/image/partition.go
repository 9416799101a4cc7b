package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

const sector = 512

// partition returns where the n-th partition of a disk is, in bytes. fs.ErrNotExist:
// there is no such one.
func partition(disk io.ReaderAt, size int64, n int) (start, length int64, err error) {
	var head [2 * sector]byte
	if _, err := disk.ReadAt(head[:], 0); err != nil {
		return 0, 0, fmt.Errorf("partition table: %w", cut(err))
	}
	if n < 1 || head[510] != 0x55 || head[511] != 0xaa {
		return 0, 0, fmt.Errorf("%w: partition %d: no partition table", fs.ErrNotExist, n)
	}
	first, count := uint64(0), uint64(0)
	if gpt := head[sector:]; string(gpt[:8]) == "EFI PART" {
		first, count, err = gptEntry(disk, gpt, n)
	} else {
		first, count, err = mbrEntry(head[446:510], n)
	}
	if err != nil {
		return 0, 0, err
	}
	if all := uint64(size / sector); first == 0 || count == 0 || first > all || count > all-first {
		return 0, 0, fmt.Errorf("%w: partition %d has sectors %d to %d of %d", ErrInvalid, n, first, first+count, size/sector)
	}
	return int64(first) * sector, int64(count) * sector, nil
}

func gptEntry(disk io.ReaderAt, header []byte, n int) (first, count uint64, err error) {
	at, entries, width := binary.LittleEndian.Uint64(header[72:]), binary.LittleEndian.Uint32(header[80:]), binary.LittleEndian.Uint32(header[84:])
	if uint64(n) > uint64(entries) || width < 128 || width > 4096 || at > 1<<40 {
		return 0, 0, fmt.Errorf("%w: partition %d of %d", fs.ErrNotExist, n, entries)
	}
	var e [48]byte
	if _, err := disk.ReadAt(e[:], int64(at)*sector+int64(n-1)*int64(width)); err != nil {
		return 0, 0, fmt.Errorf("partition table: %w", cut(err))
	}
	if [16]byte(e[:16]) == [16]byte{} {
		return 0, 0, fmt.Errorf("%w: partition %d", fs.ErrNotExist, n)
	}
	first, last := binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
	if last < first {
		return 0, 0, fmt.Errorf("%w: partition %d ends before it begins", ErrInvalid, n)
	}
	return first, last - first + 1, nil
}

func mbrEntry(table []byte, n int) (first, count uint64, err error) {
	if n > 4 {
		return 0, 0, fmt.Errorf("logical partition %d: %w", n, errors.ErrUnsupported)
	}
	e := table[(n-1)*16:]
	switch e[4] {
	case 0:
		return 0, 0, fmt.Errorf("%w: partition %d", fs.ErrNotExist, n)
	case 5, 0x0f, 0x85, 0xee:
		return 0, 0, fmt.Errorf("partition %d is a table of others: %w", n, errors.ErrUnsupported)
	}
	return uint64(binary.LittleEndian.Uint32(e[8:])), uint64(binary.LittleEndian.Uint32(e[12:])), nil
}
