package blockcopy

import (
	"bufio"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"runtime"

	"github.com/xenhost/xenhost/internal/pace"
	"github.com/xenhost/xenhost/lvm"
)

// SendOptions changes what Send does; nil is the defaults.
type SendOptions struct {
	// Changes is what to look at: extents that ascend and do not overlap, as
	// of Extents; nil is all of the volume. Blocks that they touch are sent
	// whole.
	Changes iter.Seq2[lvm.Extent, error]
	// Index leaves out the blocks that the receiver is known to have, and
	// learns what is sent.
	Index *Draft
	// Limit is how many bytes of the stream leave in a second; 0 is no limit.
	Limit int64
	// Progress is called, by one goroutine at a time, when another extent was
	// dealt with.
	Progress func(Progress)
}

// Progress is how far a transfer is.
type Progress struct {
	Offset int64 `json:"offset"` // in the volume
	Size   int64 `json:"size"`   // of the volume
	Sent   int64 `json:"sent"`   // bytes of the stream
}

// Send writes src to w, as one stream with its END: all of it, or what the
// options leave of it. It reads with a few goroutines, into buffers that
// O_DIRECT likes, and holds less than 64 MiB whatever the size.
//
// What is read while somebody writes to src is whatever the disk had in that
// moment. When ctx ends, Send returns as soon as a Write that is under way
// does: close w to end that.
func Send(ctx context.Context, w io.Writer, src io.ReaderAt, t Transfer, opts *SendOptions) (Stats, error) {
	if opts == nil {
		opts = &SendOptions{}
	}
	if opts.Index != nil {
		if err := opts.Index.ready(t); err != nil {
			return Stats{}, fmt.Errorf("send: %w", err)
		}
	}
	w = pace.New(opts.Limit).Writer(ctx, w)
	if opts.Index != nil {
		w = opts.Index.ahead(w)
	}
	s := sender{t: t, src: src, opts: opts, at: t.begin(), out: bufio.NewWriterSize(w, 128<<10)}
	err := s.run(ctx)
	s.stats.Next = s.at
	return s.stats, err
}

type sender struct {
	t     Transfer
	src   io.ReaderAt
	opts  *SendOptions
	out   *bufio.Writer
	at    Point
	stats Stats
}

// run lets a few workers read, compare and pack extents at the same time, and
// writes them in order.
func (s *sender) run(ctx context.Context) error {
	workers := min(runtime.GOMAXPROCS(0), 4)
	depth := 2 * workers
	free := make(chan *piece, depth)
	for range depth {
		free <- &piece{done: make(chan struct{}, 1)}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	work, ordered := make(chan *piece, depth), make(chan *piece, depth)
	finished := make(chan error, workers+1)
	for range workers {
		go func() { finished <- s.work(work) }()
	}
	go func() {
		defer close(ordered)
		defer close(work)
		finished <- cut(ctx, s.t, s.opts.Changes, func(offset int64, look, zeros blocks) bool {
			select {
			case p := <-free:
				p.offset, p.span = offset, int(min(ExtentSize, s.t.Size-offset))
				p.look, p.zeros = look, zeros
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
	for range workers + 1 {
		if workErr := <-finished; err == nil {
			err = workErr
		}
	}
	if err != nil {
		return err // cut or a worker stopped early: no END
	}
	return s.end()
}

// write sends the frames in order. What the index learns is in its file before
// the frame is on its way to the receiver, so that a sender that is killed knows
// afterwards at least what the receiver has.
func (s *sender) write(ctx context.Context, ordered <-chan *piece, free chan<- *piece) error {
	for p := range ordered {
		<-p.done
		if p.err != nil {
			return p.err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.hashes != nil {
			if err := s.opts.Index.learn(p.offset, p.hashes); err != nil {
				return fmt.Errorf("send: index: %w", err)
			}
		}
		s.stats.Read += int64(p.read)
		if p.send {
			if err := s.frame(&p.header, p.head[:], p.body); err != nil {
				return err
			}
			s.at = s.at.after(p.header, p.head[:])
		}
		if s.opts.Progress != nil {
			s.opts.Progress(Progress{Offset: p.offset + int64(p.span), Size: s.t.Size, Sent: s.stats.Wire})
		}
		free <- p
	}
	return ctx.Err()
}

func (s *sender) frame(h *header, head, payload []byte) error {
	_, err := s.out.Write(head)
	if err == nil {
		_, err = s.out.Write(payload)
	}
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	s.stats.count(*h)
	return nil
}

func (s *sender) end() error {
	if s.opts.Index != nil {
		if err := s.opts.Index.complete(s.at.Root); err != nil {
			return fmt.Errorf("send: index: %w", err)
		}
	}
	root := s.at.Root[:]
	h := header{typ: typeEnd, offset: s.at.Frames, coded: rootSize, payload: crc32.Checksum(root, castagnoli)}
	var head [headerSize]byte
	h.seal(head[:], s.t, root)
	if err := s.frame(&h, head[:], root); err != nil {
		return err
	}
	s.stats.Frames-- // END is none of the volume's
	if err := s.out.Flush(); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}
