package blockcopy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// frames takes a stream apart. What it returns lies inside the volume, in
// order, and has arrived as it was written; what is in it is not proven yet:
// see unpacker.
type frames struct {
	t    Transfer
	in   io.Reader
	at   Point
	head [headerSize]byte
}

func newFrames(in io.Reader, t Transfer) *frames { return &frames{t: t, in: in, at: t.begin()} }

// next returns the next header, and its payload in buf or in a larger one. At
// END, which it proves, the header's type is typeEnd.
func (f *frames) next(buf []byte) (header, []byte, error) {
	if err := f.full(f.head[:]); err != nil {
		return header{}, buf, err
	}
	h, err := parseHeader(f.head[:])
	if err != nil {
		return h, buf, err
	}
	if h.typ != typeEnd {
		if err := h.check(f.t.Size, f.at.Offset); err != nil {
			return h, buf, err
		}
	}
	buf = grow(buf, int(h.coded))
	if err := f.full(buf); err != nil {
		return h, buf, err
	}
	if h.coded > 0 && crc32.Checksum(buf, castagnoli) != h.payload {
		return h, buf, fmt.Errorf("%w: the frame at %d is damaged", ErrStream, h.offset)
	}
	if h.typ == typeEnd {
		return h, buf, f.end(h, buf)
	}
	f.at = f.at.after(h, f.head[:])
	return h, buf, nil
}

// end checks what the sender says that it sent.
func (f *frames) end(h header, root []byte) error {
	if h.offset != f.at.Frames || !bytes.Equal(root, f.at.Root[:]) || f.t.hash(f.head[:], root) != h.hash {
		return fmt.Errorf("%w: %d frames arrived, %d were sent, or they are not the same", ErrStream, f.at.Frames, h.offset)
	}
	return nil
}

// frameBuffered tells whether next would not have to wait.
func frameBuffered(in *bufio.Reader) bool {
	if in.Buffered() < headerSize {
		return false
	}
	head, err := in.Peek(headerSize)
	return err == nil && int64(in.Buffered()) >= headerSize+int64(codedSize(head))
}

func (f *frames) full(b []byte) error {
	_, err := io.ReadFull(f.in, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends before its END: %w", ErrStream, io.ErrUnexpectedEOF)
	}
	return err
}

// unpacker proves frames. The zero value is ready; it is for one goroutine.
type unpacker struct {
	dec *zstd.Decoder
	buf []byte
}

// unpack returns what a frame stands for, in an aligned buffer, good until the
// next call or as long as payload is.
func (u *unpacker) unpack(t Transfer, h *header, payload []byte) ([]byte, error) {
	raw := payload
	if h.codec == codecZstd {
		if u.dec == nil {
			u.buf = aligned(ExtentSize)
			dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(ExtentSize))
			if err != nil {
				return nil, err
			}
			u.dec = dec
		}
		var err error
		if raw, err = u.dec.DecodeAll(payload, u.buf[:0]); err != nil {
			return nil, fmt.Errorf("%w: frame at %d: %w", ErrStream, h.offset, err)
		}
	}
	want := int(h.raw)
	if h.typ == typeZero {
		want = 0
	}
	var head [headerSize]byte
	h.put(head[:])
	if len(raw) != want || t.hash(head[:], raw) != h.hash {
		return nil, fmt.Errorf("%w: the frame at %d is not what its sender proved", ErrStream, h.offset)
	}
	return raw, nil
}

func (u *unpacker) close() {
	if u.dec != nil {
		u.dec.Close()
	}
}

// write puts a frame that is proven where it belongs.
func (h *header) write(dst Volume, raw []byte) error {
	for first, end := range h.blocks.runs {
		at, n := h.offset+int64(first)*BlockSize, min(end*BlockSize, h.span)-first*BlockSize
		if h.typ == typeZero {
			if err := dst.Zero(at, int64(n)); err != nil {
				return err
			}
			continue
		}
		if _, err := dst.WriteAt(raw[:n], at); err != nil {
			return err
		}
		raw = raw[n:]
	}
	return nil
}

// grow returns n bytes, at most ExtentSize, aligned for the disk.
func grow(b []byte, n int) []byte {
	const small = 64 << 10
	switch {
	case n <= cap(b):
		return b[:n]
	case n <= small:
		return aligned(small)[:n]
	}
	return aligned(ExtentSize)[:n]
}
