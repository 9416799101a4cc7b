package blockcopy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/xenhost/xenhost/internal/durable"
)

// Draft is the index as it will be when one transfer has ended well: a file
// beside the index. It begins as a copy; what Send sends is written to it
// before it is sent, so that a transfer that was cut can go on with it.
type Draft struct {
	x    *Index
	file *os.File
	head indexHead
	// What was learned of extents that follow each other, and is not written
	// yet: see flush.
	pages []byte
	at    int64
}

// pagesLimit is how much of that there is at most, in bytes.
const pagesLimit = 64 << 10

// Draft begins a draft for t, whose Base must be the generation of the index
// (ErrBase). One that lies about is replaced.
func (x *Index) Draft(t Transfer) (*Draft, error) {
	d, err := x.newDraft(t)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", x.path, err)
	}
	return d, nil
}

func (x *Index) newDraft(t Transfer) (_ *Draft, err error) {
	if t.Base != x.head.Generation {
		return nil, fmt.Errorf("%w: it is made for %s, the index is of %s", ErrBase, t.Base, x.head.Generation)
	}
	if t.Size != x.head.Size {
		return nil, fmt.Errorf("%w: it is for one of %d bytes, not %d", ErrIndex, x.head.Size, t.Size)
	}
	if x.file != nil && !x.Exists() && !x.learned {
		if err := errors.Join(x.file.Close(), durable.Remove(x.path)); err != nil {
			return nil, err
		}
		x.file = nil
	}
	f, err := os.OpenFile(x.path+draftName, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	d := &Draft{x: x, file: f, head: x.head}
	d.head.Transfer, d.head.To, d.head.Boot = t, Generation{}, bootID()
	d.head.Transfer.From = Point{}
	if x.file == nil {
		err = f.Truncate(indexFileSize(t.Size)) // nothing is known
	} else {
		_, err = io.CopyBuffer(struct{ io.Writer }{f}, io.NewSectionReader(x.file, 0, indexFileSize(t.Size)), make([]byte, 256<<10))
	}
	if err == nil {
		err = writePage(f, indexMagic, d.head)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return d, nil
}

// Pending returns the draft of a transfer that was cut, with its Transfer, or
// nil if there is none that can be trusted: what was written before a power
// failure can not.
func (x *Index) Pending() (*Draft, error) {
	f, err := os.OpenFile(x.path+draftName, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d := &Draft{x: x, file: f}
	err = readIndexHead(f, x.head.Size, &d.head)
	whole := d.head.To != Generation{} // and so synced
	if err == nil && (d.head.Transfer.Key == [32]byte{} || d.head.Generation != x.head.Generation || !whole && (d.head.Boot == "" || d.head.Boot != bootID())) {
		err = ErrIndex
	}
	if errors.Is(err, ErrIndex) {
		return nil, errors.Join(f.Close(), durable.Remove(x.path+draftName))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return d, nil
}

// Transfer is what the draft was begun for.
func (d *Draft) Transfer() Transfer { return d.head.Transfer }

// To is the generation that the receiver will hold; zero while the transfer
// has not come to its END.
func (d *Draft) To() Generation { return d.head.To }

// Rewind forgets what was sent of extents from offset on: the receiver may not
// have it. If that was a delta, it still has what the index says; a first copy
// is written in place, so that blocks which were sent are sent again, whatever
// is in them.
func (d *Draft) Rewind(offset int64) error {
	if _, _, err := d.rewind(offset); err != nil {
		return fmt.Errorf("index %s: %w", d.x.path, err)
	}
	return nil
}

// rewind returns the extents of which something had been sent, from the first
// one at or behind offset to the end of the last.
func (d *Draft) rewind(offset int64) (from, end int64, err error) {
	none := unsureEntry()
	sent, base, unsure := make([]byte, pageSize), make([]byte, pageSize), bytes.Repeat(none[:], blocksPerExtent)
	from = (offset + ExtentSize - 1) / ExtentSize * ExtentSize
	for at := from; at < d.head.Size; at += ExtentSize {
		if err := d.page(at, sent); err != nil {
			return from, end, err
		}
		if d.x.file != nil {
			if _, err := d.x.file.ReadAt(base, pageAt(at)); err != nil {
				return from, end, err
			}
		}
		if bytes.Equal(sent, base) {
			continue
		}
		end = min(at+ExtentSize, d.head.Size)
		known := base
		if (d.head.Transfer.Base == Generation{}) {
			known = unsure
		}
		if err := d.learn(at, known); err != nil {
			return from, end, err
		}
	}
	if err := d.flush(); err != nil {
		return from, end, err
	}
	d.head.To = Generation{}
	return from, end, writePage(d.file, indexMagic, d.head)
}

// arrived takes what Hashes says of the extents from..end of the receiver.
func (d *Draft) arrived(r io.Reader, from, end int64) error {
	page := make([]byte, pageSize)
	for at := from; at < end; at += ExtentSize {
		if _, err := io.ReadFull(r, page); err != nil {
			return fmt.Errorf("%w: it ends in the hashes: %w", ErrStream, err)
		}
		if err := d.learn(at, page); err != nil {
			return err
		}
	}
	return d.flush()
}

// Commit makes the draft the index: the receiver has said that it holds g,
// which must be To. After it the draft is closed.
func (d *Draft) Commit(g Generation) error {
	err := d.commit(g)
	err = errors.Join(err, d.file.Close())
	if err != nil {
		return fmt.Errorf("index %s: %w", d.x.path, err)
	}
	return nil
}

func (d *Draft) commit(g Generation) error {
	if g != d.head.To || g == (Generation{}) {
		return fmt.Errorf("%w: the receiver holds %s, %s was sent", ErrBase, g, d.head.To)
	}
	head := indexHead{Key: d.head.Key, Size: d.head.Size, Generation: g}
	if err := writePage(d.file, indexMagic, head); err != nil {
		return err
	}
	return d.x.replace(d.file)
}

// Close leaves the draft for Pending.
func (d *Draft) Close() error { return d.file.Close() }

// ready tells whether the draft is the one for t.
func (d *Draft) ready(t Transfer) error {
	p := d.head.Transfer
	if p.Key != t.Key || p.Size != t.Size || p.Base != t.Base {
		return fmt.Errorf("%w: the draft is of another transfer", ErrIndex)
	}
	return nil
}

// hash makes the entry of a block.
func (d *Draft) hash(block []byte) entry { return entryOf(&d.head.Key, block) }

// page reads the entries of the extent at offset.
func (d *Draft) page(offset int64, p []byte) error {
	_, err := d.file.ReadAt(p, pageAt(offset))
	return err
}

// learn takes the entries of the extent at offset. Before they are in the
// file, which flush does, nothing of the extent may be sent.
func (d *Draft) learn(offset int64, p []byte) error {
	at := pageAt(offset)
	if len(d.pages) >= pagesLimit || at != d.at+int64(len(d.pages)) {
		if err := d.flush(); err != nil {
			return err
		}
		d.at = at
	}
	d.pages = append(d.pages, p...)
	return nil
}

func (d *Draft) flush() error {
	_, err := d.file.WriteAt(d.pages, d.at)
	d.pages, d.at = d.pages[:0], d.at+int64(len(d.pages))
	return err
}

// ahead is a writer of what is sent: what it is about is in the draft's file
// before it goes to w.
func (d *Draft) ahead(w io.Writer) io.Writer { return draftWriter{d, w} }

type draftWriter struct {
	d *Draft
	w io.Writer
}

func (w draftWriter) Write(p []byte) (int, error) {
	if err := w.d.flush(); err != nil {
		return 0, fmt.Errorf("index: %w", err)
	}
	return w.w.Write(p)
}

// complete writes down what the receiver will hold, before it is told.
func (d *Draft) complete(g Generation) error {
	d.head.To = g
	if err := errors.Join(d.flush(), d.file.Sync()); err != nil { // the entries, before the word that they are all
		return err
	}
	return errors.Join(writePage(d.file, indexMagic, d.head), d.file.Sync())
}
