package blockcopy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"

	"github.com/xenhost/xenhost/lvm"
)

// Send writes what the extents of src hold to w, as one stream with its END.
// The extents are ascending and do not overlap, as lvm.Content.Changed returns
// them; nil is all of the volume, and an empty list is a stream with nothing
// but END.
//
// What is read while somebody writes to src is whatever the disk had in that
// moment. When ctx ends, Send returns as soon as a Write that is under way
// does: close w to end that.
func Send(ctx context.Context, w io.Writer, src io.ReaderAt, extents []lvm.Extent, t Transfer) (Stats, error) {
	if extents == nil {
		extents = []lvm.Extent{{Length: t.Size}}
	}
	var end int64
	for _, e := range extents {
		if e.Offset < end || e.Length < 0 || e.Offset > t.Size || e.Length > t.Size-e.Offset {
			return Stats{}, fmt.Errorf("send: extent of %d bytes at %d does not fit into %d or overlaps another", e.Length, e.Offset, t.Size)
		}
		end = e.Offset + e.Length
	}
	s := sender{t: t, src: src, out: bufio.NewWriterSize(w, 128<<10)}
	err := s.run(ctx, extents)
	return s.stats, err
}

type sender struct {
	t     Transfer
	src   io.ReaderAt
	out   *bufio.Writer
	stats Stats
}

// piece is one frame on its way from the reader to the writer.
type piece struct {
	offset int64
	length int
	buf    []byte // a header and the bytes
	packed []byte // a header and their packed form
	frame  []byte // header and payload: of buf or packed, or nil to skip
	err    error
	done   chan struct{}
}

// run lets a few workers read, hash and pack pieces at the same time, and
// writes them in order.
func (s *sender) run(ctx context.Context, extents []lvm.Extent) error {
	workers := min(runtime.GOMAXPROCS(0), 4)
	depth := 2 * workers
	free := make(chan *piece, depth)
	for range depth {
		free <- &piece{done: make(chan struct{}, 1)}
	}
	ctx, stop := context.WithCancel(ctx)
	work, ordered := make(chan *piece, depth), make(chan *piece, depth)
	finished := make(chan error, workers)
	for range workers {
		go func() { finished <- s.work(work) }()
	}
	go func() {
		defer close(ordered)
		defer close(work)
		cut(extents, func(offset int64, length int) bool {
			select {
			case p := <-free:
				p.offset, p.length = offset, length
				work <- p // never blocks: there are no more pieces than room
				ordered <- p
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()

	err := s.write(ctx, ordered, free)
	stop()
	for range workers {
		if workErr := <-finished; err == nil {
			err = workErr
		}
	}
	return err
}

// cut calls yield for pieces of at most MaxFrame that do not cross a multiple
// of it.
func cut(extents []lvm.Extent, yield func(offset int64, length int) bool) {
	for _, e := range extents {
		for at, end := e.Offset, e.Offset+e.Length; at < end; {
			n := min(MaxFrame-at%MaxFrame, end-at)
			if !yield(at, int(n)) {
				return
			}
			at += n
		}
	}
}

func (s *sender) work(pieces <-chan *piece) error {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(MaxFrame))
	for p := range pieces {
		if p.err = err; err == nil {
			p.err = s.pack(enc, p)
		}
		p.done <- struct{}{}
	}
	return err
}

// pack reads a piece and makes its frame.
func (s *sender) pack(enc *zstd.Encoder, p *piece) error {
	p.buf = grow(p.buf, headerSize+p.length)
	raw := p.buf[headerSize:]
	if n, err := s.src.ReadAt(raw, p.offset); n < len(raw) {
		return fmt.Errorf("send: read %d bytes at %d: %w", len(raw), p.offset, err)
	}
	h := header{typ: typeData, offset: p.offset, raw: uint32(p.length), coded: uint32(p.length)}
	if raw[0] == 0 && bytes.Equal(raw[1:], raw[:len(raw)-1]) { // all equal to the first
		p.frame = nil
		if !s.t.Fresh {
			h.typ, h.coded = typeZero, 0
			p.frame = p.buf[:headerSize]
			h.put(p.frame)
		}
		return nil
	}
	h.hash = s.t.hash(raw)
	p.frame = p.buf[:headerSize+p.length]
	p.packed = grow(p.packed, headerSize)
	packed := enc.EncodeAll(raw, p.packed)
	p.packed = packed // with the room that it grew to
	if len(packed)-headerSize < p.length-p.length/16 {
		h.codec, h.coded = codecZstd, uint32(len(packed)-headerSize)
		p.frame = packed
	}
	h.put(p.frame)
	return nil
}

func (s *sender) write(ctx context.Context, ordered <-chan *piece, free chan<- *piece) error {
	root := sha256.New()
	root.Write(s.t.Key[:])
	for p := range ordered {
		<-p.done
		if p.err != nil {
			return p.err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		s.stats.Read += int64(p.length)
		if len(p.frame) > 0 {
			root.Write(p.frame[:headerSize])
			if _, err := s.out.Write(p.frame); err != nil {
				return fmt.Errorf("send: %w", err)
			}
			s.stats.count(p.frame[0], int64(p.length), len(p.frame))
		}
		free <- p
	}
	if err := ctx.Err(); err != nil {
		return err // cut stopped early: no END
	}
	end := make([]byte, headerSize, headerSize+sha256.Size)
	header{typ: typeEnd, offset: s.stats.Frames, coded: sha256.Size}.put(end)
	_, err := s.out.Write(root.Sum(end))
	if err == nil {
		err = s.out.Flush()
	}
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	s.stats.Wire += headerSize + sha256.Size
	return nil
}

func (s *Stats) count(typ byte, raw int64, wire int) {
	s.Frames++
	s.Wire += int64(wire)
	if typ == typeZero {
		s.Zeros += raw
	} else {
		s.Data += raw
	}
}
