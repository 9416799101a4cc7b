package blockcopy

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// Hashes writes the entries of an index with that key for the first size bytes
// of src to w: what a receiver has, for a sender that keeps no index, 0.4 % of
// the volume. The key must be new, or known to nobody who chooses the content.
func Hashes(ctx context.Context, w io.Writer, src io.ReaderAt, size int64, key [32]byte) error {
	return scan(ctx, src, size, func(extent []byte) []byte {
		page := make([]byte, pageSize)
		for i := 0; len(extent) > 0; i++ {
			n := min(BlockSize, len(extent))
			h := entryOf(&key, extent[:n])
			copy(page[i*entrySize:], h[:])
			extent = extent[n:]
		}
		return page
	}, func(page []byte) error {
		_, err := w.Write(page)
		return err
	})
}

// scan reads src with a few goroutines, calls look for each extent, several at
// a time, and take with what they returned, in order.
func scan[T any](ctx context.Context, src io.ReaderAt, size int64, look func(extent []byte) T, take func(T) error) error {
	type job struct {
		at     int64
		result T
		err    error
		done   chan struct{}
	}
	workers := min(runtime.GOMAXPROCS(0), 4)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	work, ordered := make(chan *job), make(chan *job, workers)
	go func() {
		defer close(work)
		defer close(ordered)
		for at := int64(0); at < size; at += ExtentSize {
			j := &job{at: at, done: make(chan struct{})}
			select {
			case ordered <- j:
				work <- j // the workers take all that come
			case <-ctx.Done():
				return
			}
		}
	}()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			buf := aligned(ExtentSize)
			for j := range work {
				part := buf[:min(ExtentSize, size-j.at)]
				if n, err := src.ReadAt(part, j.at); n < len(part) {
					j.err = fmt.Errorf("read %d bytes at %d: %w", len(part), j.at, err)
				} else {
					j.result = look(part)
				}
				close(j.done)
			}
		})
	}
	defer all.Wait()
	var err error
	for j := range ordered { // to its end, so that no goroutine outlives this
		<-j.done
		switch {
		case err != nil:
		case j.err != nil:
			err = j.err
		case ctx.Err() != nil:
			err = ctx.Err()
		default:
			err = take(j.result)
		}
		if err != nil {
			stop()
		}
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}
