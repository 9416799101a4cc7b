package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// volumeSize is what the copies of the scenario are made of: 40 % zeros, 30 %
// bytes that do not compress, 30 % text, in pieces of 1 MiB.
const volumeSize = 512 << 20

// benchBlockcopy copies a volume through a pipe, by blockcopy (which leaves
// zeros out, compresses, and proves each frame) and by dd.
func benchBlockcopy(ctx context.Context) ([]Row, error) {
	dir, err := os.MkdirTemp("", "bench-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	src := filepath.Join(dir, "src")
	if err := fill(src); err != nil {
		return nil, err
	}
	took, stats, err := copyOurs(ctx, src, filepath.Join(dir, "ours"))
	if err != nil {
		return nil, err
	}
	dd, err := copyDD(ctx, src, filepath.Join(dir, "dd"))
	if err != nil {
		return nil, err
	}
	const name = "dd | dd"
	return []Row{
		compare("blockcopy", "full copy through a pipe, s", name, took.Seconds(), dd.Seconds(), 1),
		compare("blockcopy", "full copy, MiB in the pipe", name, float64(stats.Wire)/(1<<20), volumeSize/(1<<20), 1.5),
	}, nil
}

func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	random := rand.NewChaCha8([32]byte{1})
	piece := make([]byte, 1<<20)
	for i := range volumeSize >> 20 {
		switch i % 10 {
		case 0, 1, 2, 3:
			clear(piece)
		case 4, 5, 6:
			if _, err := random.Read(piece); err != nil {
				return err
			}
		default:
			for n := 0; n < len(piece); {
				n += copy(piece[n:], fmt.Sprintf("192.0.2.%d - GET /page/%d HTTP/1.1 200\n", random.Uint64()%256, random.Uint64()%100000))
			}
		}
		if _, err := f.Write(piece); err != nil {
			return err
		}
	}
	return errors.Join(f.Sync(), f.Close())
}

// volume is a file as the receiving end of a copy.
type volume struct{ *os.File }

// Size implements blockcopy.Volume.
func (v volume) Size() int64 { return volumeSize }

// Zero implements blockcopy.Volume.
func (v volume) Zero(offset, length int64) error {
	_, err := v.WriteAt(make([]byte, length), offset)
	return err
}

func copyOurs(ctx context.Context, src, dst string) (time.Duration, blockcopy.Stats, error) {
	in, err := os.Open(src)
	if err != nil {
		return 0, blockcopy.Stats{}, err
	}
	defer in.Close()
	out, err := os.Create(dst)
	if err != nil {
		return 0, blockcopy.Stats{}, err
	}
	defer out.Close()
	if err := out.Truncate(volumeSize); err != nil {
		return 0, blockcopy.Stats{}, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, blockcopy.Stats{}, err
	}
	t := blockcopy.NewTransfer(volumeSize)
	t.Fresh = true
	start := time.Now()
	sent := make(chan error, 1)
	go func() {
		_, err := blockcopy.Send(ctx, w, in, t, nil)
		sent <- errors.Join(err, w.Close())
	}()
	stats, err := blockcopy.Receive(ctx, r, volume{out}, t, nil)
	r.Close()
	return time.Since(start), stats, errors.Join(err, <-sent)
}

func copyDD(ctx context.Context, src, dst string) (time.Duration, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	from := exec.CommandContext(ctx, "dd", "if="+src, "bs=1M", "status=none")
	to := exec.CommandContext(ctx, "dd", "of="+dst, "bs=1M", "iflag=fullblock", "conv=fsync", "status=none")
	from.Stdout, to.Stdin = w, r
	start := time.Now()
	err = errors.Join(to.Start(), from.Start())
	err = errors.Join(err, r.Close(), w.Close())
	if err != nil {
		return 0, err
	}
	err = errors.Join(from.Wait(), to.Wait())
	return time.Since(start), err
}
