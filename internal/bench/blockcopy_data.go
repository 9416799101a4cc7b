package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// fill makes a volume of 40 % zeros, 30 % bytes that do not compress and 30 %
// text, in pieces of 1 MiB.
func fill(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	random := rand.NewChaCha8([32]byte{1})
	piece := make([]byte, mib)
	for i := range size / mib {
		switch i % 10 {
		case 0, 1, 2, 3:
			clear(piece)
		case 4, 5, 6:
			_, _ = random.Read(piece) // never fails
		default:
			for n := 0; n < len(piece); {
				n += copy(piece[n:], fmt.Sprintf("192.0.2.%d - GET /page/%d HTTP/1.1 200\n", random.Uint64()%256, random.Uint64()%100000))
			}
		}
		if _, err := f.Write(piece); err != nil {
			return err
		}
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

// changeRandom writes noise to one block in every so many, at random, and
// returns how many bytes that is.
func changeRandom(path string, size, one int64) (changed int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	r := rand.New(rand.NewPCG(2, 2))
	random := rand.NewChaCha8([32]byte{2})
	block := make([]byte, 4096)
	for _, i := range r.Perm(int(size / 4096))[:size/4096/one] {
		_, _ = random.Read(block)
		if _, err := f.WriteAt(block, int64(i)*4096); err != nil {
			return 0, err
		}
		changed += 4096
	}
	return changed, errors.Join(f.Sync(), f.Close())
}

// changeRange writes noise to one range.
func changeRange(path string, offset, length int64) (int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	_, err = io.CopyN(io.NewOffsetWriter(f, offset), rand.NewChaCha8([32]byte{3}), length)
	return length, errors.Join(err, f.Sync(), f.Close())
}

// evict takes a file out of the page cache.
func evict(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

// cpuNow is what this process has used, in seconds.
func cpuNow() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
