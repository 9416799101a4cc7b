package blockcopy

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/minio/highwayhash"
	"golang.org/x/sys/unix"

	"github.com/xenhost/xenhost/internal/durable"
)

const (
	indexMagic = "XENIDX01"
	entrySize  = 16
	draftName  = ".next"
)

var (
	// ErrIndex: a file is no index, or one of another volume. Without it a
	// transfer has to ask the receiver, or to send all.
	ErrIndex = errors.New("no index of this volume")
	// ErrBusy: another transfer uses the index or the replica.
	ErrBusy = errors.New("in use by another transfer")
)

// Index is a file that says what a receiver has: 16 bytes for each block of
// 4 KiB (0.4 % of the volume), read and written as the transfer goes along. An
// entry is HighwayHash-128 under a key of the index's own, in a file that only
// its owner reads, so that nobody who chooses the content of blocks can make two
// of them look alike. An entry of zeros is a block that was never sent.
//
// An Index holds a lock, on a file beside it, until Close; nothing else changes
// it than a Draft that is committed.
type Index struct {
	path string
	lock *os.File
	file *os.File // nil: there is none yet
	head indexHead
	// learned tells that the entries are what the receiver said just now. Of
	// an index of no generation they are not to be trusted later: the copy
	// that was to follow may have begun.
	learned bool
}

type indexHead struct {
	Key        [32]byte   `json:"key"`
	Size       int64      `json:"size"`
	Generation Generation `json:"generation,omitzero"` // what the receiver holds
	// Of a draft:
	Transfer Transfer   `json:"transfer,omitzero"`
	To       Generation `json:"to,omitzero"` // set when it is complete
	Boot     string     `json:"boot,omitempty"`
}

// OpenIndex opens the index at path for a volume of size bytes. If there is
// none, one that knows nothing will be made there by the first draft that is
// committed.
//
// ErrBusy: another transfer has it open. ErrIndex: the file is something else.
func OpenIndex(path string, size int64) (*Index, error) {
	x, err := openIndex(path, size)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", path, err)
	}
	return x, nil
}

func openIndex(path string, size int64) (_ *Index, err error) {
	x := &Index{path: path, head: indexHead{Size: size}}
	rand.Read(x.head.Key[:]) // never fails
	if x.lock, err = os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			x.Close()
		}
	}()
	if err := unix.Flock(int(x.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrBusy, err)
	}
	if x.file, err = os.Open(path); errors.Is(err, fs.ErrNotExist) {
		return x, nil
	} else if err != nil {
		return nil, err
	}
	if err := readIndexHead(x.file, size, &x.head); err != nil {
		return nil, err
	}
	return x, nil
}

// readIndexHead checks the whole shape of a file before an entry is believed.
func readIndexHead(f *os.File, size int64, head *indexHead) error {
	if err := readPage(f, indexMagic, head); err != nil {
		return fmt.Errorf("%w: %w", ErrIndex, err)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	switch {
	case head.Size != size:
		return fmt.Errorf("%w: it is for one of %d bytes, not %d", ErrIndex, head.Size, size)
	case info.Size() != indexFileSize(size):
		return fmt.Errorf("%w: it has %d bytes, not %d", ErrIndex, info.Size(), indexFileSize(size))
	}
	return nil
}

// indexFileSize is a head and a page for each extent.
func indexFileSize(size int64) int64 { return pageSize * (1 + (size+ExtentSize-1)/ExtentSize) }

func pageAt(offset int64) int64 { return pageSize * (1 + offset/ExtentSize) }

// Generation is what the receiver must hold for the index to be true; zero if
// it knows nothing.
func (x *Index) Generation() Generation { return x.head.Generation }

// Exists tells whether the index is of a generation.
func (x *Index) Exists() bool { return x.head.Generation != Generation{} }

// Key is what the receiver needs to make entries: see Hashes.
func (x *Index) Key() [32]byte { return x.head.Key }

// Close gives the index back. A draft stays for Resume.
func (x *Index) Close() error {
	err := x.lock.Close()
	if x.file != nil {
		err = errors.Join(err, x.file.Close())
	}
	return err
}

// entryOf makes the entry of a block. One of zeros has an entry of its own, for
// speed: nobody finds another block that has it, without the key.
func entryOf(key *[32]byte, block []byte) entry {
	if isZero(block) {
		return zeroEntry()
	}
	return highwayhash.Sum128(block, key[:])
}

// Entries that no block has by its hash, except with luck against 2^128.
type entry = [entrySize]byte

func unsentEntry() entry { return entry{} }  // nothing was sent
func zeroEntry() entry   { return entry{1} } // a block of zeros
func unsureEntry() entry { return entry{2} } // what was sent may be there or not

// Learn makes the index out of what the receiver says that it has, as Hashes
// writes it: r ends behind the last entry.
func (x *Index) Learn(r io.Reader, g Generation) error {
	if err := x.learn(r, g); err != nil {
		return fmt.Errorf("index %s: %w", x.path, err)
	}
	return nil
}

func (x *Index) learn(r io.Reader, g Generation) (err error) {
	f, err := os.OpenFile(x.path+draftName, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	head := indexHead{Key: x.head.Key, Size: x.head.Size, Generation: g}
	if err := errors.Join(f.Truncate(indexFileSize(head.Size)), writePage(f, indexMagic, head)); err != nil {
		return err
	}
	want := indexFileSize(head.Size) - pageSize
	n, err := io.CopyBuffer(struct{ io.Writer }{io.NewOffsetWriter(f, pageSize)}, io.LimitReader(r, want), make([]byte, 64<<10))
	if err == nil && n < want {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = x.replace(f)
	}
	x.learned = err == nil
	return err
}

// replace makes f, which lies beside it, the index.
func (x *Index) replace(f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := durable.Rename(x.path+draftName, x.path); err != nil {
		return err
	}
	if x.file != nil {
		x.file.Close()
	}
	var err error
	if x.file, err = os.Open(x.path); err != nil {
		return err
	}
	return readIndexHead(x.file, x.head.Size, &x.head)
}

// bootID changes when the machine starts anew: what was written before and not
// synced may be gone.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(bytes.ToLower(id)))
}
