package blockcopy_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/xenhost/xenhost/migrate/blockcopy"
)

var errPower = errors.New("power failure")

// power fails after a number of operations, in the middle of the next one.
type power struct {
	mu   sync.Mutex
	left int // -1: it does not fail
	out  bool
}

// use counts an operation. dying is true for the one in which power fails.
func (p *power) use() (dying bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.out:
		return false, errPower
	case p.left == 0:
		p.out = true
		return true, errPower
	case p.left > 0:
		p.left--
	}
	return false, nil
}

// simDisk is a volume or a file on a disk with a cache: what was not synced
// when power fails is there, or not, block by block.
type simDisk struct {
	p      *power
	mu     sync.Mutex
	now    []byte // as it reads
	onDisk []byte
	cached []func([]byte, func() bool) []byte // writes since Sync, in order
}

func newSimDisk(p *power, content []byte) *simDisk {
	return &simDisk{p: p, now: append([]byte(nil), content...), onDisk: append([]byte(nil), content...)}
}

func (d *simDisk) ReadAt(b []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off >= int64(len(d.now)) {
		return 0, io.EOF
	}
	n := copy(b, d.now[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (d *simDisk) WriteAt(b []byte, off int64) (int, error) {
	b = append([]byte(nil), b...)
	return len(b), d.change(func(disk []byte, kept func() bool) []byte {
		for at := 0; at < len(b); at += 512 {
			if part := b[at:min(at+512, len(b))]; kept() {
				if grow := int(off) + at + len(part) - len(disk); grow > 0 {
					disk = append(disk, make([]byte, grow)...)
				}
				copy(disk[int(off)+at:], part)
			}
		}
		return disk
	})
}

func (d *simDisk) Truncate(size int64) error {
	return d.change(func(disk []byte, kept func() bool) []byte {
		if kept() {
			disk = disk[:min(size, int64(len(disk)))]
			disk = append(disk, make([]byte, size-int64(len(disk)))...)
		}
		return disk
	})
}

func (d *simDisk) Zero(off, n int64) error {
	_, err := d.WriteAt(make([]byte, n), off)
	return err
}

func (d *simDisk) change(do func([]byte, func() bool) []byte) error {
	dying, err := d.p.use()
	d.mu.Lock()
	defer d.mu.Unlock()
	if dying || err == nil {
		d.now = do(d.now, func() bool { return true })
		d.cached = append(d.cached, do)
	}
	return err
}

func (d *simDisk) Sync() error {
	if _, err := d.p.use(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onDisk, d.cached = append([]byte(nil), d.now...), nil
	return nil
}

// restart brings the disk back after a power failure: of each write in the
// cache, each sector survived with the given chance.
func (d *simDisk) restart(r *rand.Rand, chance float64) {
	for _, do := range d.cached {
		d.onDisk = do(d.onDisk, func() bool { return r.Float64() < chance })
	}
	d.now, d.cached = append([]byte(nil), d.onDisk...), nil
}

func (d *simDisk) size() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int64(len(d.now))
}

// simVolume is a simDisk whose size does not change.
type simVolume struct{ *simDisk }

func (v simVolume) Size() int64 { return v.size() }

type simLog struct{ *simDisk }

func (l simLog) Size() (int64, error) { return l.size(), nil }

// simStore is a replica's store on the same power.
type simStore struct {
	p     *power
	state blockcopy.State
	log   *simDisk
}

func (s *simStore) Load() (blockcopy.State, error) { return copyState(s.state), nil }

// Save is atomic: power fails before or after it.
func (s *simStore) Save(state blockcopy.State) error {
	dying, err := s.p.use()
	if err == nil || dying && state.Applying != nil { // one of both each
		s.state = copyState(state)
	}
	return err
}

func (s *simStore) Log() blockcopy.Log { return simLog{s.log} }

func copyState(s blockcopy.State) blockcopy.State {
	if s.Receiving != nil {
		r := *s.Receiving
		s.Receiving = &r
	}
	if s.Applying != nil {
		a := *s.Applying
		s.Applying = &a
	}
	return s
}
