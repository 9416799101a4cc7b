package blockcopy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/xenhost/xenhost/lvm"
)

// ErrDiffers: after the transfer the target is not equal to the source.
var ErrDiffers = errors.New("the copy differs")

// PushOptions changes what Push does; nil is the defaults.
type PushOptions struct {
	// Index is the path of the index that is kept here of what the target
	// has. With it the target is a Replica, and a transfer that was cut goes
	// on. Without it, the target is asked for hashes of all that it has, and
	// is written in place.
	Index string
	// Whole sends everything, whatever the target has. With an Index it is
	// for the first time.
	Whole bool
	// Fresh is the caller's word that the target reads as zeros.
	Fresh bool
	// Changes is what may differ from the generation Since, which an earlier
	// Push reported when it read a snapshot: what lvm.Content.Changed says of
	// that snapshot. If the target holds another generation, or is asked for
	// hashes, all is looked at. Only with Index.
	Changes iter.Seq2[lvm.Extent, error]
	Since   Generation
	// Frozen is the caller's word that src is, after a cut, the same snapshot
	// that it was: what was sent before the cut is not looked at again. Without
	// it a transfer that goes on ends with a second one about that part.
	Frozen bool
	// Verify lets both ends read all of it again and compares.
	Verify   bool
	Limit    int64          // bytes per second; 0 is no limit
	Progress func(Progress) // see SendOptions
}

// How a Push found out what to send.
type How string

const (
	ByAll     How = "all"     // it sent all that is not zeros
	ByIndex   How = "index"   // it compared with the index
	ByChanges How = "changes" // it compared what a list says has changed
	ByHashes  How = "hashes"  // it compared with what the target said that it has
	ByResumed How = "resumed" // it went on with a transfer that was cut
)

// Report is what a Push did.
type Report struct {
	Sent       int64      `json:"sent"`     // bytes to the target, everything included
	Received   int64      `json:"received"` // bytes back
	How        How        `json:"how"`
	Stats      Stats      `json:"stats"`
	Generation Generation `json:"generation,omitzero"` // that the target holds; only with Index
	Sum        string     `json:"sha256,omitempty"`    // of all of it, equal at both ends; only with Verify
}

// Source is what Push reads: File is one, and lvm.Device.
type Source interface {
	io.ReaderAt
	Size() int64
}

// Push makes the volume at path, at the other end of conn where Serve is, equal
// to src. It closes conn.
//
// ErrBase: the target holds another generation than the index is of. Whether
// the index or the target is older is not known; without the index, a Push
// compares the two. ErrSize, ErrBusy, fs.ErrNotExist and others come from the
// target. An error of the connection leaves what had arrived for the next Push.
func Push(ctx context.Context, conn io.ReadWriteCloser, src Source, path string, opts *PushOptions) (Report, error) {
	if opts == nil {
		opts = &PushOptions{}
	}
	p := pusher{conn: conn, src: src, opts: opts}
	p.in = bufio.NewReaderSize(counted{conn, &p.received}, 64<<10)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err := p.push(ctx, path)
	stop()
	conn.Close() // what it says of its end is no news
	p.report.Sent, p.report.Received = p.sent.Load(), p.received.Load()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return p.report, fmt.Errorf("push: %w", err)
	}
	return p.report, nil
}

type pusher struct {
	conn           io.ReadWriteCloser
	in             *bufio.Reader
	src            Source
	opts           *PushOptions
	sent, received atomic.Int64
	broken         atomic.Bool // a Write failed
	report         Report
}

// Write implements io.Writer, for the connection.
func (p *pusher) Write(b []byte) (int, error) {
	n, err := p.conn.Write(b)
	p.sent.Add(int64(n))
	if err != nil {
		p.broken.Store(true)
	}
	return n, err
}

type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

func (p *pusher) push(ctx context.Context, path string) error {
	_, err := io.WriteString(p, greeting)
	if readErr := readGreeting(p.in); readErr != nil {
		return errors.Join(readErr, err) // what ended the connection, first
	}
	open := &Request{Path: path, Size: p.src.Size(), Replica: p.opts.Index != "", Fresh: p.opts.Fresh}
	answer, err := p.ask(request{Verb: verbOpen, Open: open})
	if err != nil {
		return err
	}
	if answer.Offer == nil {
		return fmt.Errorf("%w: no offer", ErrStream)
	}
	if err := p.bring(ctx, *answer.Offer); err != nil {
		return err
	}
	if p.opts.Verify {
		if err := p.verify(ctx); err != nil {
			return err
		}
	}
	_, err = p.ask(request{Verb: verbClose})
	return err
}

func (p *pusher) bring(ctx context.Context, o offer) error {
	if p.opts.Index != "" {
		return p.withIndex(ctx, p.opts.Index, o)
	}
	t := NewTransfer(p.src.Size())
	t.Fresh = o.Fresh
	if p.opts.Whole || o.Fresh {
		p.report.How = ByAll
		_, err := p.stream(ctx, t, nil, nil)
		return err
	}
	dir, err := os.MkdirTemp("", "blockcopy-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return p.withIndex(ctx, filepath.Join(dir, "index"), offer{})
}
