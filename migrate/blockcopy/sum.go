package blockcopy

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
)

// Sum reads the first size bytes of src and returns their SHA-256. One core
// does about 1.6 GB/s of it.
func Sum(ctx context.Context, src io.ReaderAt, size int64) (sum [sha256.Size]byte, err error) {
	type part struct {
		data []byte
		err  error
	}
	free, full := make(chan []byte, 2), make(chan part, 2)
	free <- aligned(ExtentSize)
	free <- aligned(ExtentSize)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // reads ahead; ends at the first error or with ctx
		defer close(full)
		for at := int64(0); at < size; {
			if ctx.Err() != nil { // else select may take the buffer
				full <- part{err: ctx.Err()}
				return
			}
			select {
			case <-ctx.Done():
				full <- part{err: ctx.Err()}
				return
			case b := <-free:
				b = b[:min(ExtentSize, size-at)]
				if n, err := src.ReadAt(b, at); n < len(b) {
					full <- part{err: fmt.Errorf("sum: read %d bytes at %d: %w", len(b), at, err)}
					return
				}
				at += int64(len(b))
				full <- part{data: b}
			}
		}
	}()
	d := sha256.New()
	for p := range full {
		if p.err != nil {
			err = p.err
			continue
		}
		d.Write(p.data)
		free <- p.data[:ExtentSize]
	}
	d.Sum(sum[:0])
	return sum, err
}
