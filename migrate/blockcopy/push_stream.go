package blockcopy

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/xenhost/xenhost/lvm"
)

// ask sends a request and takes the reply.
func (p *pusher) ask(r request) (reply, error) {
	err := writeMessage(p, r)
	answer, readErr := p.reply()
	if readErr != nil {
		return reply{}, errors.Join(readErr, err)
	}
	return answer, nil
}

func (p *pusher) reply() (reply, error) {
	var answer reply
	err := readMessage(p.in, &answer)
	switch {
	case errors.Is(err, io.EOF):
		return answer, fmt.Errorf("the receiver has gone: %w", io.ErrUnexpectedEOF)
	case err != nil:
		return answer, err
	case answer.Error != nil:
		return answer, answer.Error.arrived()
	}
	return answer, nil
}

// stream sends one stream and takes the reply. One that comes early is an
// error, and ends the sending.
func (p *pusher) stream(ctx context.Context, t Transfer, d *Draft, changes iter.Seq2[lvm.Extent, error]) (Generation, error) {
	if err := writeMessage(p, request{Verb: verbReceive, Transfer: &t}); err != nil {
		return Generation{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	type result struct {
		reply
		err error
	}
	answered := make(chan result, 1)
	go func() {
		answer, err := p.reply()
		if err != nil {
			stop()
			p.conn.Close() // ends a Write that is under way
		}
		answered <- result{answer, err}
	}()
	stats, err := Send(ctx, p, p.src, t, &SendOptions{Changes: changes, Index: d, Limit: p.opts.Limit, Progress: p.opts.Progress})
	p.report.Stats.add(stats)
	if err != nil && !p.broken.Load() {
		p.conn.Close() // the other side must not wait for the rest
	}
	a := <-answered
	var said *remoteError
	switch {
	case errors.As(a.err, &said):
		return Generation{}, a.err
	case err != nil && p.broken.Load() && a.err != nil:
		return Generation{}, fmt.Errorf("%w: %w", err, a.err)
	case err != nil && !errors.Is(err, context.Canceled):
		return Generation{}, err
	case a.err != nil: // it is why the sending was cancelled
		return Generation{}, a.err
	case err != nil:
		return Generation{}, err
	case a.Stats == nil || a.Stats.Next != stats.Next:
		return Generation{}, fmt.Errorf("%w: the receiver has not got what was sent", ErrStream)
	}
	return a.Stats.Generation(), nil
}

// withIndex sends what the index at path does not know, and brings it up to
// date.
func (p *pusher) withIndex(ctx context.Context, path string, o offer) error {
	x, err := OpenIndex(path, p.src.Size())
	if err != nil {
		return err
	}
	defer x.Close()
	d, t, err := p.draft(x, o)
	if err != nil {
		return err
	}
	if err := p.pass(ctx, t, d, p.changes(t)); err != nil || t.From.Offset == 0 || p.opts.Frozen {
		return err
	}
	// What was sent before the cut was not looked at again; it may have
	// changed since.
	before := Extents([]lvm.Extent{{Length: t.From.Offset}})
	t = NewTransfer(t.Size)
	t.Base = x.Generation()
	if d, err = x.Draft(t); err != nil {
		return err
	}
	return p.pass(ctx, t, d, before)
}

// changes is what to look at; nil is all of it.
func (p *pusher) changes(t Transfer) iter.Seq2[lvm.Extent, error] {
	if (t.Base == Generation{} || t.Base != p.opts.Since || p.report.How == ByHashes) {
		return nil
	}
	return p.opts.Changes
}

// pass sends one stream and commits the draft.
func (p *pusher) pass(ctx context.Context, t Transfer, d *Draft, changes iter.Seq2[lvm.Extent, error]) error {
	g, err := p.stream(ctx, t, d, changes)
	if err != nil {
		return errors.Join(err, d.Close()) // it stays for the next Push
	}
	p.report.Generation = g
	return d.Commit(g)
}

// draft returns the draft and the transfer to go on with, or new ones.
func (p *pusher) draft(x *Index, o offer) (*Draft, Transfer, error) {
	d, err := x.Pending()
	if err != nil {
		return nil, Transfer{}, err
	}
	if d != nil {
		was := d.Transfer()
		switch {
		case d.To() != Generation{} && d.To() == o.Generation: // only the answer was lost
			err = d.Commit(o.Generation)
		case o.Pending != nil && o.Pending.Key == was.Key && d.ready(*o.Pending) == nil:
			p.report.How = ByResumed
			from := o.Pending.From.Offset
			if from < 0 || from > was.Size {
				return nil, was, fmt.Errorf("%w: it is to go on at %d of %d", ErrStream, from, was.Size)
			}
			return d, *o.Pending, p.goOn(d, from)
		default:
			err = d.Close()
		}
		if err != nil {
			return nil, Transfer{}, err
		}
	}
	t := NewTransfer(p.src.Size())
	t.Base, t.Fresh = o.Generation, o.Fresh && o.Generation == Generation{}
	switch {
	case x.Exists():
		p.report.How = ByIndex
		if x.Generation() != o.Generation {
			return nil, t, fmt.Errorf("%w: the index %s is of %s, the target holds %s: move the index away to compare with the target instead",
				ErrBase, x.path, x.Generation(), o.Generation)
		}
	case t.Fresh || p.opts.Whole:
		p.report.How = ByAll
	default:
		p.report.How = ByHashes
		if err := p.learn(x, o.Generation); err != nil {
			return nil, t, err
		}
	}
	if p.changes(t) != nil {
		p.report.How = ByChanges
	}
	d, err = x.Draft(t)
	return d, t, err
}

// learn asks the target what it has.
func (p *pusher) learn(x *Index, g Generation) error {
	if err := writeMessage(p, request{Verb: verbHashes, Key: x.Key(), Length: p.src.Size()}); err != nil {
		return err
	}
	return x.Learn(p.in, g)
}

// goOn has the draft know what the receiver has from offset on. A first copy is
// written in place, and a receiver that was killed or lost its power has more
// than it can vouch for: that it looks up, so that it need not travel again.
func (p *pusher) goOn(d *Draft, offset int64) error {
	offset, end, err := d.rewind(offset)
	if err != nil || end <= offset || d.head.Transfer.Base != (Generation{}) {
		return err
	}
	if err := writeMessage(p, request{Verb: verbHashes, Key: d.head.Key, Offset: offset, Length: end - offset}); err != nil {
		return err
	}
	return d.arrived(p.in, offset, end)
}

// verify lets the two ends read all of it at the same time.
func (p *pusher) verify(ctx context.Context) error {
	type result struct {
		reply
		err error
	}
	there := make(chan result, 1)
	go func() {
		answer, err := p.ask(request{Verb: verbSum})
		there <- result{answer, err}
	}()
	sum, err := Sum(ctx, p.src, p.src.Size())
	if err != nil {
		p.conn.Close()
	}
	other := <-there
	switch {
	case err != nil:
		return err
	case other.err != nil:
		return other.err
	case !bytes.Equal(sum[:], other.Sum):
		return fmt.Errorf("%w: SHA-256 is %x here and %x there: the source was written to, or the target by somebody else; move an index away and run again",
			ErrDiffers, sum, other.Sum)
	}
	p.report.Sum = hex.EncodeToString(sum[:])
	return nil
}
