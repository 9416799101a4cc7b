package blockcopy_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
)

// disk is a volume in memory that fails on whoever leaves its bounds.
type disk struct {
	mu     sync.Mutex
	data   []byte
	synced bool
	writes int
	fail   error // what the next write answers
}

var errBounds = errors.New("out of bounds")

func newDisk(size int) *disk { return &disk{data: make([]byte, size)} }

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.NewReader(d.data).ReadAt(p, off)
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes++
	if d.fail != nil {
		return 0, d.fail
	}
	if off < 0 || off+int64(len(p)) > int64(len(d.data)) {
		return 0, errBounds
	}
	d.synced = false
	return copy(d.data[off:], p), nil
}

func (d *disk) Zero(off, n int64) error {
	_, err := d.WriteAt(make([]byte, n), off)
	return err
}

func (d *disk) Sync() error { d.synced = true; return nil }
func (d *disk) Size() int64 { return int64(len(d.data)) }

// fill writes what disks hold: 40 % zeros, 30 % noise, 30 % text, in pieces of
// 64 KiB.
func fill(d []byte, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	text := bytes.Repeat([]byte("customer 4711 ordered 3 boxes of tea at 12:05; "), 1+64<<10/47)
	for at := 0; at < len(d); at += 64 << 10 {
		piece := d[at:min(at+64<<10, len(d))]
		switch n := r.IntN(10); {
		case n < 4:
			clear(piece)
		case n < 7:
			for i := range piece {
				piece[i] = byte(r.Uint32())
			}
		default:
			copy(piece, text[r.IntN(1000):])
		}
	}
}

// justWriter hides other interfaces of a writer.
type justWriter struct{ io.Writer }
