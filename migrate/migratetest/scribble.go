package migratetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/xen/xentest"
)

// scribbleBlock is how much each word of Scribble fills.
const scribbleBlock = 4096

// Scribble lets a guest that runs write word all over the first n bytes of one
// of its disks, and returns when it has. Called at a step of a move it makes the
// guest as busy as one likes, whatever the machine's speed. Not for xvda, which
// has the records.
func (w *World) Scribble(ctx context.Context, id uuid.UUID, dev string, n int64, word uint64) error {
	w.mu.Lock()
	l := w.lives[id]
	w.mu.Unlock()
	if l == nil || dev == "xvda" {
		return fmt.Errorf("migratetest: guest %s can not scribble on %s", id, dev)
	}
	done := make(chan error, 1)
	job := func(g *xentest.Guest) error {
		done <- scribble(g.Disk(dev), n, word)
		return nil
	}
	select {
	case l.jobs <- job:
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	return fmt.Errorf("migratetest: guest %s does not write: %w", id, ctx.Err())
}

func scribble(path string, n int64, word uint64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	block := bytes.Repeat(binary.BigEndian.AppendUint64(nil, word), scribbleBlock/8)
	for at := int64(0); err == nil && at < n; at += scribbleBlock {
		_, err = f.WriteAt(block[:min(scribbleBlock, n-at)], at)
	}
	return errors.Join(err, f.Close())
}

// Scribbled reads what word a disk, or a copy of it, has in the block at offset.
func Scribbled(path string, offset int64) (word uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [8]byte
	_, err = f.ReadAt(b[:], offset/scribbleBlock*scribbleBlock)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return binary.BigEndian.Uint64(b[:]), err
}
