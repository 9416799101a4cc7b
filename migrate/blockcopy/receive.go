package blockcopy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// Volume is what is written to; lvm.Device is one, and File.
type Volume interface {
	io.WriterAt
	// Zero makes length bytes at offset read as zeros.
	Zero(offset, length int64) error
	// Sync returns when all that was written is on the disk.
	Sync() error
	// Size is in bytes.
	Size() int64
}

// ReceiveOptions changes what Receive does; nil is the defaults.
type ReceiveOptions struct {
	// Checkpoint is called from time to time with a point up to which
	// everything is on the disk: from there a transfer goes on even after a
	// power failure.
	Checkpoint func(Point) error
	// Every is how many bytes of the volume lie between two checkpoints; 0 is
	// 64 MiB.
	Every int64
}

// Receive reads one stream from r up to its END, writes it to dst and syncs
// dst. After an error dst holds some of the frames, each of them whole and
// proven, and nothing else; Stats.Next is where a transfer that was cut goes
// on, as Transfer.From of both ends.
//
// It may read ahead of END, unless r is a *bufio.Reader, which keeps what it has
// read ahead. When ctx ends, Receive returns as soon as a Read that is under way
// does: close r to end that.
func Receive(ctx context.Context, r io.Reader, dst Volume, t Transfer, opts *ReceiveOptions) (Stats, error) {
	if opts == nil {
		opts = &ReceiveOptions{}
	}
	if dst.Size() != t.Size {
		return Stats{Next: t.From}, fmt.Errorf("receive: %w: the volume has %d bytes here, %d there", ErrStream, dst.Size(), t.Size)
	}
	workers := min(runtime.GOMAXPROCS(0), 4)
	v := receiver{in: newFrames(buffered(r), t), dst: dst, opts: opts, work: make(chan *arrival), free: make(chan *arrival, 2*workers)}
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
	v.stats.Next = v.in.at
	if failed := v.failure(); failed != nil {
		err = failed          // the first cause; reading only noticed it
		v.stats.Next = t.From // which frames are there is not known
	}
	if err == nil {
		err = dst.Sync()
	}
	if err != nil {
		return v.stats, fmt.Errorf("receive: %w", err)
	}
	return v.stats, nil
}

func buffered(r io.Reader) *bufio.Reader {
	if b, ok := r.(*bufio.Reader); ok {
		return b
	}
	return bufio.NewReaderSize(r, 128<<10)
}

type receiver struct {
	in    *frames
	dst   Volume
	opts  *ReceiveOptions
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
	every := v.opts.Every
	if every == 0 {
		every = 64 << 20
	}
	for saved := v.in.at.Offset; ; {
		if err := errors.Join(ctx.Err(), v.failure()); err != nil {
			return err
		}
		a := <-v.free
		var err error
		if a.header, a.payload, err = v.in.next(a.payload); err != nil {
			v.free <- a
			return err
		}
		v.stats.count(a.header)
		if a.typ == typeEnd {
			v.stats.Frames-- // it is none of the volume's
			v.free <- a
			return nil
		}
		v.work <- a
		if at := v.in.at; v.opts.Checkpoint != nil && at.Offset-saved >= every {
			if err := v.checkpoint(at); err != nil {
				return err
			}
			saved = at.Offset
		}
	}
}

// checkpoint waits for the workers, and for the disk.
func (v *receiver) checkpoint(at Point) error {
	var idle []*arrival
	for range cap(v.free) {
		idle = append(idle, <-v.free)
	}
	for _, a := range idle {
		v.free <- a
	}
	if err := v.failure(); err != nil {
		return err
	}
	if err := v.dst.Sync(); err != nil {
		return err
	}
	return v.opts.Checkpoint(at)
}

// apply writes frames to the volume. After a failure it only drains.
func (v *receiver) apply() {
	var u unpacker
	defer u.close()
	for a := range v.work {
		if v.failure() == nil {
			raw, err := u.unpack(v.in.t, &a.header, a.payload)
			if err == nil {
				err = a.write(v.dst, raw)
			}
			if err != nil {
				v.fail(err)
			}
		}
		v.free <- a
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
