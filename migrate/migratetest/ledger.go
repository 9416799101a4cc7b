package migratetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
)

// A ledger is what a guest writes to its disk: records with a number and the
// hash of the record before, scattered over the disk so that every part of it
// changes. The first ledgerStart bytes belong to an image.
const (
	ledgerStart = 64 << 10
	recordSize  = 64
	stride      = 7919 // records between two neighbours in time; prime
	recordMagic = "xhrecord"
)

type record struct {
	seq    uint64
	before [16]byte // hash of the record before
	guest  uuid.UUID
}

func (r record) bytes() []byte {
	b := make([]byte, 0, recordSize)
	b = append(b, recordMagic...)
	b = binary.BigEndian.AppendUint64(b, r.seq)
	b = append(b, r.before[:]...)
	b = append(b, r.guest[:]...)
	sum := sha256.Sum256(b)
	return append(b, sum[:16]...)
}

func parseRecord(b []byte) (r record, ok bool) {
	if string(b[:8]) != recordMagic {
		return r, false
	}
	if sum := sha256.Sum256(b[:48]); !bytes.Equal(b[48:64], sum[:16]) {
		return r, false
	}
	r.seq = binary.BigEndian.Uint64(b[8:])
	copy(r.before[:], b[16:32])
	copy(r.guest[:], b[32:48])
	return r, true
}

// room is how many records a disk of that size takes.
func room(size int64) uint64 {
	n := (size - ledgerStart) / recordSize
	if n%stride == 0 {
		n-- // every place is reached only if stride and n have no common divisor
	}
	return uint64(max(n, 0))
}

// place is where record seq lies; the first has number 1.
func place(seq, room uint64) int64 { return ledgerStart + int64((seq*stride)%room)*recordSize }

// ErrLedger: a disk holds records that do not follow from each other.
var ErrLedger = errors.New("the guest's records are damaged")

// Records reads a guest's disk and returns the number of its last record, 0 if
// it has none. A record that is missing or damaged while a later one is there
// is ErrLedger. A guest that is running may go on writing meanwhile.
func Records(path string, guest uuid.UUID) (last uint64, err error) {
	l, err := readLedger(path, guest)
	return l.last, err
}

type ledger struct {
	last   uint64
	hash   [16]byte // of the last record
	room   uint64
	beyond uint64 // a record that is there although one before it is not
}

func readLedger(path string, guest uuid.UUID) (l ledger, err error) {
	f, err := os.Open(path)
	if err != nil {
		return l, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return l, err
	}
	l.room = room(info.Size())
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return l, err
	}
	for seq := uint64(1); seq < l.room; seq++ {
		at := place(seq, l.room)
		r, ok := parseRecord(data[at : at+recordSize])
		if !ok {
			break
		}
		if r.seq != seq || r.before != l.hash || r.guest != guest {
			return l, fmt.Errorf("%w: at record %d is record %d of %s", ErrLedger, seq, r.seq, r.guest)
		}
		l.last = seq
		copy(l.hash[:], data[at+48:at+64])
	}
	// Nothing may lie behind a gap. The file was read from front to end while
	// the guest may have written, so one record behind is no proof of a loss.
	for seq := l.last + 3; seq < min(l.room, l.last+5000); seq++ {
		at := place(seq, l.room)
		if _, ok := parseRecord(data[at : at+recordSize]); ok {
			l.beyond = seq
			break
		}
	}
	return l, nil
}
