package blockcopy

import (
	"bytes"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

func (s *sender) work(pieces <-chan *piece) error {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(ExtentSize))
	w := worker{s: s, enc: enc}
	for p := range pieces {
		if p.err = err; err == nil {
			p.err = w.pack(p)
		}
		p.done <- struct{}{}
	}
	return err
}

type worker struct {
	s     *sender
	enc   *zstd.Encoder
	known []byte // a page of the index
}

// pack reads a piece and makes its frame, if there is something to say.
func (w *worker) pack(p *piece) error {
	if p.raw == nil {
		p.raw = aligned(ExtentSize)
	}
	p.raw, p.hashes, p.body, p.send = p.raw[:0], nil, nil, false
	p.header = header{offset: p.offset, span: p.span}
	if err := w.read(p); err != nil {
		return err
	}
	if w.s.opts.Index != nil {
		if err := w.compare(p); err != nil {
			return fmt.Errorf("send: index: %w", err)
		}
	} else if w.s.t.Fresh && w.s.t.From == (Point{}) {
		p.keep(func(_ int, block []byte) bool { return !isZero(block) })
	}
	if len(p.raw) == 0 {
		return nil
	}
	p.send = true
	h := &p.header
	h.blocks, h.raw = p.look, uint32(len(p.raw))
	if isZero(p.raw) {
		h.typ = typeZero
		h.seal(p.head[:], w.s.t, nil)
		return nil
	}
	h.typ, h.coded, p.body = typeData, h.raw, p.raw
	if cap(p.packed) == 0 {
		p.packed = make([]byte, 0, ExtentSize+ExtentSize/64)
	}
	p.packed = w.enc.EncodeAll(p.raw, p.packed[:0])
	if len(p.packed) < len(p.raw)-len(p.raw)/16 {
		h.codec, h.coded, p.body = codecZstd, uint32(len(p.packed)), p.packed
	}
	h.payload = crc32.Checksum(p.body, castagnoli)
	h.seal(p.head[:], w.s.t, p.raw)
	return nil
}

// read fills raw with the blocks to look at. What is known to be zeros is not
// read.
func (w *worker) read(p *piece) error {
	p.read = 0
	for first, end := range p.look.runs {
		for first < end {
			stop := first + 1
			for stop < end && p.zeros.has(stop) == p.zeros.has(first) {
				stop++
			}
			from, to := first*BlockSize, min(stop*BlockSize, p.span)
			have := len(p.raw)
			part := p.raw[have : have+to-from]
			p.raw = p.raw[:have+to-from]
			if p.zeros.has(first) {
				clear(part)
			} else if n, err := w.s.src.ReadAt(part, p.offset+int64(from)); n < len(part) {
				return fmt.Errorf("send: read %d bytes at %d: %w", len(part), p.offset+int64(from), err)
			} else {
				p.read += n
			}
			first = stop
		}
	}
	return nil
}

// compare leaves out the blocks that the receiver has, which are zeros on a fresh
// one as long as nothing else was sent.
func (w *worker) compare(p *piece) error {
	x := w.s.opts.Index
	if w.known == nil {
		w.known = make([]byte, pageSize)
	}
	if err := x.page(p.offset, w.known); err != nil {
		return err
	}
	changed := false
	p.keep(func(i int, block []byte) bool {
		h, known := x.hash(block), (*entry)(w.known[i*entrySize:])
		if h == *known {
			return false
		}
		there := w.s.t.Fresh && h == zeroEntry() && *known == unsentEntry()
		*known = h
		changed = true
		return !there
	})
	if changed {
		p.hashes, w.known = w.known, nil
	}
	return nil
}

// keep asks for each block whether to send it, and closes the gaps.
func (p *piece) keep(wanted func(i int, block []byte) bool) {
	kept, rest := 0, p.raw
	for first, end := range p.look.runs {
		for i := first; i < end; i++ {
			n := min(BlockSize, p.span-i*BlockSize)
			block := rest[:n]
			rest = rest[n:]
			if !wanted(i, block) {
				p.look.remove(i)
				continue
			}
			if &p.raw[kept] != &block[0] {
				copy(p.raw[kept:], block)
			}
			kept += n
		}
	}
	p.raw = p.raw[:kept]
}

// isZero tells whether b, which is not empty, is all zeros.
func isZero(b []byte) bool {
	return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) // all equal to the first
}
