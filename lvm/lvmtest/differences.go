package lvmtest

import (
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/xenhost/xenhost/lvm"
)

// differences compares two files in pieces of a pool's block or a snapshot's
// chunk, and returns the pieces that differ. The size is that of the first file;
// the other may be shorter.
func differences(now, then string, size, piece int64) ([]lvm.Extent, error) {
	a, err := os.Open(now)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	b, err := os.Open(then)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	length := max(piece, 1<<20)
	bufA, bufB := make([]byte, length), make([]byte, length)
	var out []lvm.Extent
	for off := int64(0); off < size; off += length {
		n := min(length, size-off)
		if err := errors.Join(read(a, bufA[:n], off), read(b, bufB[:n], off)); err != nil {
			return nil, err
		}
		if bytes.Equal(bufA[:n], bufB[:n]) {
			continue
		}
		for at := int64(0); at < n; at += piece {
			end := min(at+piece, n)
			if !bytes.Equal(bufA[at:end], bufB[at:end]) {
				out = join(out, lvm.Extent{Offset: off + at, Length: end - at, Kind: kind(bufA[at:end])})
			}
		}
	}
	return out, nil
}

// read fills p; what is behind the end of the file is zeros.
func read(f *os.File, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if err != io.EOF {
		return err
	}
	clear(p[n:])
	return nil
}

// kind of a block that differs: one of a pool that reads as zeros was given back.
func kind(data []byte) lvm.ExtentKind {
	if len(data) > lvm.ChunkSize && len(bytes.TrimLeft(data, "\x00")) == 0 {
		return lvm.Discard
	}
	return lvm.Data
}

func join(extents []lvm.Extent, e lvm.Extent) []lvm.Extent {
	if n := len(extents); n > 0 {
		if last := &extents[n-1]; last.Kind == e.Kind && last.Offset+last.Length == e.Offset {
			last.Length += e.Length
			return extents
		}
	}
	return append(extents, e)
}
