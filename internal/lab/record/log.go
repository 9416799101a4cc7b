package record

import (
	"fmt"
	"io"
)

// A Disk is what a Log writes to. *os.File satisfies it.
type Disk interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// A Log appends records to a disk. Not for several goroutines at a time.
type Log struct {
	disk Disk
	at   Position
	boot uint64
}

// Open finds the end of the chain on a formatted disk and counts a boot: the
// records that it appends carry one boot more than the last one there.
func Open(d Disk, size int64) (*Log, error) {
	at, err := Verify(d, size)
	if err != nil {
		return nil, err
	}
	return &Log{disk: d, at: at, boot: at.Boots + 1}, nil
}

// Append writes the next record and returns its number when the disk has said
// that it is durable. After an error the log is at an unknown place: Open again.
func (l *Log) Append(unixNano int64) (uint64, error) {
	r := Record{Number: l.at.Last + 1, Boot: l.boot, Time: unixNano, Prev: l.at.Hash}
	slot := r.encode(l.at.ID)
	if _, err := l.disk.WriteAt(slot, int64(Slot(r.Number, l.at.Slots))*SlotSize); err != nil {
		return 0, fmt.Errorf("write record %d: %w", r.Number, err)
	}
	if err := l.disk.Sync(); err != nil {
		return 0, fmt.Errorf("sync record %d: %w", r.Number, err)
	}
	l.at.Last, l.at.Boots, l.at.Time, l.at.Hash = r.Number, r.Boot, r.Time, Hash(slot[atSum:])
	return r.Number, nil
}

// Last returns the number of the last durable record; 0: none.
func (l *Log) Last() uint64 { return l.at.Last }

// Boot returns which run of the guest this is, from 1.
func (l *Log) Boot() uint64 { return l.boot }
