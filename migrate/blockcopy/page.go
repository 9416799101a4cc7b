package blockcopy

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// pageSize is the head of an index and of a redo log, in bytes, and what an
// index has for each extent.
const pageSize = 4096

var errPage = errors.New("its head is damaged")

// writePage writes v as JSON with a magic word, a length and a checksum, as
// the first page of a file.
func writePage(w io.WriterAt, magic string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	page := make([]byte, pageSize)
	if len(text) > pageSize-16 {
		return fmt.Errorf("a head of %d bytes", len(text))
	}
	copy(page, magic)
	binary.LittleEndian.PutUint32(page[8:], uint32(len(text)))
	binary.LittleEndian.PutUint32(page[12:], crc32.Checksum(text, castagnoli))
	copy(page[16:], text)
	_, err = w.WriteAt(page, 0)
	return err
}

// readPage reads what writePage wrote.
func readPage(r io.ReaderAt, magic string, v any) error {
	page := make([]byte, pageSize)
	if n, err := r.ReadAt(page, 0); n < pageSize {
		if errors.Is(err, io.EOF) {
			err = errPage
		}
		return err
	}
	n := binary.LittleEndian.Uint32(page[8:])
	if string(page[:8]) != magic || n > pageSize-16 {
		return errPage
	}
	text := page[16 : 16+n]
	if crc32.Checksum(text, castagnoli) != binary.LittleEndian.Uint32(page[12:]) {
		return errPage
	}
	return json.Unmarshal(text, v)
}
