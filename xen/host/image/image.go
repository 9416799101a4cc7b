package image

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// Format is what an image file is.
type Format string

// The formats that Open reads.
const (
	Raw   Format = "raw"
	Qcow2 Format = "qcow2"
)

// Source says which image, and what it must be.
type Source struct {
	Path   string `json:"path"` // absolute, of a regular file
	Format Format `json:"format"`
	// SHA256 is of the file, as published beside it: 64 hexadecimal digits. ""
	// is whatever is there.
	SHA256 string `json:"sha256,omitempty"`
	// Partition, if it is not 0, is the partition of the disk in the image that
	// alone becomes the guest's: 1 is the first, by its table (GPT, or one of the
	// four of an MBR).
	Partition int `json:"partition,omitempty"`
}

var (
	// ErrDigest: the file is not the one that was published.
	ErrDigest = errors.New("SHA-256 differs")
	// ErrInvalid: the source is refused, or what the image says of itself can not
	// be.
	ErrInvalid = errors.New("invalid image")
)

// Image reads as the bytes of the disk, once, from its start.
type Image struct {
	r    io.Reader
	size int64
	file *os.File
}

// Open opens an image. Where the whole of a raw image is read, its digest is
// looked at on the way, and a wrong one is an ErrDigest in place of io.EOF: the
// volume must not be used then, and Provision removes it. Anything else is read
// once before, and ErrDigest is Open's.
func Open(ctx context.Context, s Source) (*Image, error) {
	img, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Path, err)
	}
	return img, nil
}

func open(ctx context.Context, s Source) (_ *Image, err error) {
	if s.Path != filepath.Clean(s.Path) || !filepath.IsAbs(s.Path) {
		return nil, fmt.Errorf("%w: the path is not absolute and clean", ErrInvalid)
	}
	if s.Format != Raw && s.Format != Qcow2 {
		return nil, fmt.Errorf("%w: format %q: say raw or qcow2", ErrInvalid, s.Format)
	}
	if st, err := os.Stat(s.Path); err != nil || !st.Mode().IsRegular() { // opening a FIFO would hang
		return nil, errors.Join(err, fmt.Errorf("%w: not a regular file", ErrInvalid))
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if s.Format == Raw && s.Partition == 0 {
		r := io.Reader(f)
		if s.SHA256 != "" {
			if r, err = Verified(f, s.SHA256); err != nil {
				return nil, err
			}
		}
		return &Image{r: r, size: st.Size(), file: f}, nil
	}
	if s.SHA256 != "" {
		v, err := Verified(&interruptible{ctx, io.NewSectionReader(f, 0, st.Size())}, s.SHA256)
		if err == nil {
			_, err = io.Copy(io.Discard, v)
		}
		if err != nil {
			return nil, err
		}
	}
	disk := io.NewSectionReader(f, 0, st.Size())
	if s.Format == Qcow2 {
		q, err := newQcow2(f, st.Size())
		if err != nil {
			return nil, err
		}
		disk = io.NewSectionReader(q, 0, q.size)
	}
	if s.Partition != 0 {
		start, size, err := partition(disk, disk.Size(), s.Partition)
		if err != nil {
			return nil, err
		}
		disk = io.NewSectionReader(disk, start, size)
	}
	return &Image{r: disk, size: disk.Size(), file: f}, nil
}

// Size is that of the disk in the image, in bytes.
func (i *Image) Size() int64 { return i.size }

// Read implements io.Reader.
func (i *Image) Read(p []byte) (int, error) { return i.r.Read(p) }

// Close closes the file.
func (i *Image) Close() error { return i.file.Close() }

// Verified returns what r has, and ErrDigest in place of io.EOF if that is not of
// this SHA-256 (64 hexadecimal digits): for images that come by a stream.
func Verified(r io.Reader, digest string) (io.Reader, error) {
	want, err := hex.DecodeString(digest)
	if err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("%w: SHA-256 is %q, not 64 hexadecimal digits", ErrInvalid, digest)
	}
	return &verified{r: r, want: want, sum: sha256.New()}, nil
}

type verified struct {
	r    io.Reader
	want []byte
	sum  hash.Hash
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if have := v.sum.Sum(nil); subtle.ConstantTimeCompare(have, v.want) != 1 {
			return n, fmt.Errorf("%w: it is %x, not %x", ErrDigest, have, v.want)
		}
	}
	return n, err
}

// interruptible ends with its context.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}
