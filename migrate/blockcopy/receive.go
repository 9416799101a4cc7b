package blockcopy

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Volume is what Receive writes to; lvm.Device is one.
type Volume interface {
	io.WriterAt
	// Zero makes length bytes at offset read as zeros.
	Zero(offset, length int64) error
	// Sync returns when all that was written is on the disk.
	Sync() error
	// Size is in bytes.
	Size() int64
}

// Receive reads one stream from r up to its END, writes it to dst and syncs
// dst. After an error dst holds some of the frames, each of them whole and
// proven, and nothing else.
//
// It reads not one byte behind END from r only if r is read by nobody else
// afterwards; it buffers. When ctx ends, Receive returns as soon as a Read
// that is under way does: close r to end that.
func Receive(ctx context.Context, r io.Reader, dst Volume, t Transfer) (Stats, error) {
	if dst.Size() != t.Size {
		return Stats{}, fmt.Errorf("receive: %w: the volume has %d bytes here, %d there", ErrStream, dst.Size(), t.Size)
	}
	workers := min(runtime.GOMAXPROCS(0), 4)
	v := receiver{t: t, in: bufio.NewReaderSize(r, 128<<10), dst: dst, work: make(chan *arrival), free: make(chan *arrival, 2*workers)}
	for range cap(v.free) {
		v.free <- &arrival{}
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(v.apply)
	}
	err := v.read(ctx)
	close(v.work)
	all.Wait()
	if failed := v.failure(); failed != nil {
		err = failed // the first cause; reading only noticed it
	}
	if err == nil {
		err = dst.Sync()
	}
	if err != nil {
		return v.stats, fmt.Errorf("receive: %w", err)
	}
	return v.stats, nil
}

type receiver struct {
	t     Transfer
	in    *bufio.Reader
	dst   Volume
	stats Stats
	work  chan *arrival
	free  chan *arrival

	mu  sync.Mutex
	err error
}

// arrival is a frame on its way from the stream to the volume.
type arrival struct {
	header
	payload []byte
}

// read takes frames off the stream and hands them to the workers.
func (v *receiver) read(ctx context.Context) error {
	root := sha256.New()
	root.Write(v.t.Key[:])
	var head [headerSize]byte
	for from := int64(0); ; {
		if err := errors.Join(ctx.Err(), v.failure()); err != nil {
			return err
		}
		if err := v.full(head[:]); err != nil {
			return err
		}
		h, err := parseHeader(head[:])
		if err != nil {
			return err
		}
		if h.typ == typeEnd {
			return v.end(h, root.Sum(nil))
		}
		if err := h.check(v.t.Size, from); err != nil {
			return err
		}
		from = h.offset + int64(h.raw)
		root.Write(head[:])
		a := <-v.free
		a.header = h
		a.payload = grow(a.payload, int(h.coded))
		if err := v.full(a.payload); err != nil {
			return err
		}
		v.stats.count(h.typ, int64(h.raw), headerSize+int(h.coded))
		v.work <- a
	}
}

// end checks what the sender says that it sent.
func (v *receiver) end(h header, root []byte) error {
	said := make([]byte, sha256.Size)
	if err := v.full(said); err != nil {
		return err
	}
	if h.offset != v.stats.Frames || subtle.ConstantTimeCompare(said, root) != 1 {
		return fmt.Errorf("%w: %d frames arrived, %d were sent, or they are not the same", ErrStream, v.stats.Frames, h.offset)
	}
	v.stats.Wire += headerSize + sha256.Size
	return nil
}

func (v *receiver) full(b []byte) error {
	_, err := io.ReadFull(v.in, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends before its END: %w", ErrStream, io.ErrUnexpectedEOF)
	}
	return err
}

// apply writes frames to the volume. After a failure it only drains.
func (v *receiver) apply() {
	var u unpacker
	defer u.close()
	for a := range v.work {
		if v.failure() == nil {
			if err := v.write(&u, a); err != nil {
				v.fail(err)
			}
		}
		v.free <- a
	}
}

func (v *receiver) write(u *unpacker, a *arrival) error {
	if a.typ == typeZero {
		return v.dst.Zero(a.offset, int64(a.raw))
	}
	raw := a.payload
	if a.codec == codecZstd {
		var err error
		if raw, err = u.unpack(a.payload); err != nil {
			return fmt.Errorf("%w: frame at %d: %w", ErrStream, a.offset, err)
		}
	}
	if len(raw) != int(a.raw) || v.t.hash(raw) != a.hash {
		return fmt.Errorf("%w: the frame at %d is damaged", ErrStream, a.offset)
	}
	_, err := v.dst.WriteAt(raw, a.offset)
	return err
}

// unpacker is one worker's zstd decoder, made when there is something for it.
type unpacker struct {
	dec *zstd.Decoder
	buf []byte
}

// unpack returns at most MaxFrame bytes, good until the next call.
func (u *unpacker) unpack(packed []byte) ([]byte, error) {
	if u.dec == nil {
		dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxFrame))
		if err != nil {
			return nil, err
		}
		u.dec, u.buf = dec, make([]byte, 0, MaxFrame)
	}
	return u.dec.DecodeAll(packed, u.buf)
}

func (u *unpacker) close() {
	if u.dec != nil {
		u.dec.Close()
	}
}

func (v *receiver) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		v.err = err
	}
}

func (v *receiver) failure() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n, max(n, 64<<10))
	}
	return b[:n]
}
