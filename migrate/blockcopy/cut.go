package blockcopy

import (
	"context"
	"fmt"
	"iter"

	"github.com/xenhost/xenhost/lvm"
)

// Extents makes a list of changes from a slice, as lvm.Content.Changed returns
// one; it may be empty.
func Extents(extents []lvm.Extent) iter.Seq2[lvm.Extent, error] {
	return func(yield func(lvm.Extent, error) bool) {
		for _, e := range extents {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// piece is one extent of ExtentSize on its way from the cutter to the writer.
type piece struct {
	offset int64
	span   int    // bytes of it that the volume has
	look   blocks // what may have changed
	zeros  blocks // of these: zeros, as the source of changes knows

	raw    []byte // the blocks to send, one behind the other; aligned
	read   int    // bytes that were read
	hashes []byte // what the index will know of the extent; nil: as before
	head   [headerSize]byte
	packed []byte
	send   bool   // there is a frame
	body   []byte // its payload: of raw or packed
	header header
	err    error
	done   chan struct{}
}

// cut calls yield for each extent of the volume that changes touch, in order.
// It fails if the changes are not ascending or lie outside.
func cut(ctx context.Context, t Transfer, changes iter.Seq2[lvm.Extent, error], yield func(offset int64, look, zeros blocks) bool) error {
	if changes == nil {
		changes = Extents([]lvm.Extent{{Length: t.Size}})
	}
	var end int64               // of the extents before
	at := int64(-1)             // the extent that is being collected
	var look, zeros blocks      // of it
	flush := func() (ok bool) { // hands it over
		ok = at < t.From.Offset || yield(at, look, zeros)
		look, zeros = blocks{}, blocks{}
		return ok
	}
	for e, err := range changes {
		if err != nil {
			return fmt.Errorf("send: changes: %w", err)
		}
		if e.Offset < end || e.Length < 0 || e.Offset > t.Size || e.Length > t.Size-e.Offset {
			return fmt.Errorf("send: extent of %d bytes at %d does not fit into %d or overlaps another", e.Length, e.Offset, t.Size)
		}
		end = e.Offset + e.Length
		for from := e.Offset; from < end; {
			if base := from - from%ExtentSize; base != at {
				if at >= 0 && !flush() {
					return ctx.Err()
				}
				at = base
			}
			to := min(at+ExtentSize, end)
			look.addTouched(from-at, to-at)
			if e.Kind != lvm.Data {
				zeros.addWhole(from-at, to-at, min(ExtentSize, t.Size-at))
			}
			from = to
		}
	}
	if at >= 0 {
		flush()
	}
	return ctx.Err()
}
