// Package record is what a lab guest writes on its disk: a chain of records,
// each with the hash of the one before, one in each 4 KiB slot, scattered over
// the disk in a fixed order.
//
//	slot 0          header: which disk this is, how many slots it has
//	slot Slot(n)    record n (from 1): {number, hash of n-1, boot, time}, filled up with bytes that do not compress
//
// Whoever holds a copy of the disk can tell which record was the last, that
// all before it are there, and how often the guest started:
//
//	at, err := record.Verify(file, size)
//	lost := acknowledged - at.Last // of records that the guest acknowledged after their fsync: must not be above 0
package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// SlotSize is the size in bytes of the header and of each record. A disk
// writes it in pieces of 512 bytes: one that was cut short shows by its hash.
const SlotSize = 4096

// MinSize is the smallest disk: the header and three records.
const MinSize = 4 * SlotSize

// ErrBlank says that the disk has no header and holds zeros where it would be.
var ErrBlank = errors.New("no header: blank disk")

// ErrForeign says that something else than our header is at the start of the disk.
var ErrForeign = errors.New("no header: the disk holds something else")

// A Hash is a SHA-256 of a slot. The hash of the header is what record 1 refers to.
type Hash [sha256.Size]byte

// ID tells one formatted disk from another, so that records of an earlier use
// of the same blocks do not count.
type ID [16]byte

// Record is one slot.
type Record struct {
	Number uint64 // from 1, without holes
	Boot   uint64 // from 1: in which run of the guest it was written
	Time   int64  // the guest's clock, nanoseconds since 1970; only for people
	Prev   Hash   // of record Number-1
}

// What a slot begins with, 8 bytes.
const (
	headerMagic = "XHDISK01"
	recordMagic = "XHREC001"
)

// Where the parts of a slot are.
const (
	atID     = 8
	atNumber = 24 // of a header: the number of slots
	atBoot   = 32
	atTime   = 40
	atPrev   = 48
	atFill   = 80
	atSum    = SlotSize - sha256.Size
)

// Format writes the header for a disk of size bytes. What the disk held before
// stays in its other slots, and does not count.
func Format(w io.WriterAt, size int64, id ID) error {
	slots, err := slotsOf(size)
	if err != nil {
		return err
	}
	slot := make([]byte, SlotSize)
	copy(slot, headerMagic)
	copy(slot[atID:], id[:])
	binary.LittleEndian.PutUint64(slot[atNumber:], slots)
	seal(slot)
	_, err = w.WriteAt(slot, 0)
	return err
}

// Slot returns where record number is on a disk with that many slots. Any
// slots-1 numbers in a row have slots of their own; then the oldest is replaced.
func Slot(number, slots uint64) uint64 {
	n := slots - 1
	step := n*610/987 | 1 // the golden ratio: far from all that came shortly before
	for gcd(step, n) != 1 {
		step += 2
	}
	return 1 + (number%n)*step%n
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func slotsOf(size int64) (uint64, error) {
	if size < MinSize {
		return 0, fmt.Errorf("disk of %d bytes is too small, needs %d", size, MinSize)
	}
	return uint64(size / SlotSize), nil
}

// encode fills a slot.
func (r Record) encode(id ID) []byte {
	slot := make([]byte, SlotSize)
	copy(slot, recordMagic)
	copy(slot[atID:], id[:])
	binary.LittleEndian.PutUint64(slot[atNumber:], r.Number)
	binary.LittleEndian.PutUint64(slot[atBoot:], r.Boot)
	binary.LittleEndian.PutUint64(slot[atTime:], uint64(r.Time))
	copy(slot[atPrev:], r.Prev[:])
	x := r.Number*0x9E3779B97F4A7C15 | 1
	for i := atFill; i+8 <= atSum; i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(slot[i:], x)
	}
	seal(slot)
	return slot
}

// decode reads a slot; ok is false if it is not a whole record of this disk.
func decode(slot []byte, id ID) (r Record, sum Hash, ok bool) {
	if string(slot[:8]) != recordMagic || !bytes.Equal(slot[atID:atID+len(id)], id[:]) || !sealed(slot) {
		return Record{}, Hash{}, false
	}
	r.Number = binary.LittleEndian.Uint64(slot[atNumber:])
	r.Boot = binary.LittleEndian.Uint64(slot[atBoot:])
	r.Time = int64(binary.LittleEndian.Uint64(slot[atTime:]))
	copy(r.Prev[:], slot[atPrev:])
	return r, Hash(slot[atSum:]), true
}

// readHeader returns the disk's ID, its number of slots and the hash that
// record 1 refers to.
func readHeader(d io.ReaderAt, size int64) (id ID, slots uint64, sum Hash, err error) {
	if _, err = slotsOf(size); err != nil {
		return id, 0, sum, err
	}
	slot := make([]byte, SlotSize)
	if _, err = d.ReadAt(slot, 0); err != nil {
		return id, 0, sum, fmt.Errorf("read header: %w", err)
	}
	if bytes.Equal(slot, make([]byte, SlotSize)) {
		return id, 0, sum, ErrBlank
	}
	if string(slot[:8]) != headerMagic || !sealed(slot) {
		return id, 0, sum, ErrForeign
	}
	copy(id[:], slot[atID:])
	slots = binary.LittleEndian.Uint64(slot[atNumber:])
	if slots < MinSize/SlotSize || slots > uint64(size/SlotSize) {
		return id, 0, sum, fmt.Errorf("header says %d slots, the disk has %d", slots, size/SlotSize)
	}
	return id, slots, Hash(slot[atSum:]), nil
}

func seal(slot []byte) {
	sum := sha256.Sum256(slot[:atSum])
	copy(slot[atSum:], sum[:])
}

func sealed(slot []byte) bool {
	sum := sha256.Sum256(slot[:atSum])
	return bytes.Equal(slot[atSum:], sum[:])
}
