package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"slices"

	"github.com/xenhost/xenhost/lvm"
	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// byList pushes the same number of changed bytes, by a list of changes, out of
// volumes of 1 and of 16 GiB that are sparse files: the best of three nights.
func (b *copies) byList(ctx context.Context) ([]Row, error) {
	small, err := b.nights(ctx, 1<<30)
	if err != nil {
		return nil, err
	}
	large, err := b.nights(ctx, 16<<30)
	if err != nil {
		return nil, err
	}
	const what, peer = "by a list, 64 MiB changed of 16G, ", "the same of 1G"
	return []Row{
		compare("blockcopy", what+"CPU s", peer, large.cpu, small.cpu, 0.8).ifMissed("the changes lie further apart, so that 16 times as many frames carry them, and 64 MiB of index are copied instead of 4"),
		compare("blockcopy", what+"MiB on the wire", peer, large.wire/mib, small.wire/mib, 0.95),
	}, nil
}

// nights makes a copy, and then measures what it costs to bring it up to date.
func (b *copies) nights(ctx context.Context, size int64) (best cost, err error) {
	const changed = 64 << 20
	src, dst, index := b.path("src"), b.path("ours"), b.path("index")
	if err := os.WriteFile(src, nil, 0o600); err != nil {
		return best, err
	}
	if err := os.Truncate(src, size); err != nil {
		return best, err
	}
	opts := blockcopy.PushOptions{Index: index, Fresh: true}
	first, err := push(ctx, hole(size), dst, &opts)
	if err != nil {
		return best, err
	}
	opts.Since = first.Generation
	r := rand.New(rand.NewPCG(4, 4))
	for night := range 3 {
		list, err := scatter(src, size, changed, r)
		if err != nil {
			return best, err
		}
		opts.Changes = blockcopy.Extents(list)
		before := cpuNow()
		report, err := pushFile(ctx, src, dst, &opts)
		if err != nil {
			return best, err
		}
		if used := cpuNow() - before; night == 0 || used < best.cpu {
			best = cost{cpu: used, wire: float64(report.Sent + report.Received)}
		}
		opts.Since = report.Generation
	}
	return best, b.clear()
}

// scatter writes noise to blocks at random and returns where they are.
func scatter(path string, size, changed int64, r *rand.Rand) ([]lvm.Extent, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	seen := make(map[int64]bool)
	var list []lvm.Extent
	block := make([]byte, blockcopy.BlockSize)
	noise := rand.NewChaCha8([32]byte{5, byte(r.Uint32())})
	for int64(len(list)) < changed/blockcopy.BlockSize {
		at := r.Int64N(size/blockcopy.BlockSize) * blockcopy.BlockSize
		if seen[at] {
			continue
		}
		seen[at] = true
		list = append(list, lvm.Extent{Offset: at, Length: blockcopy.BlockSize})
		_, _ = noise.Read(block) // never fails
		if _, err := f.WriteAt(block, at); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	slices.SortFunc(list, func(a, b lvm.Extent) int { return int((a.Offset - b.Offset) / blockcopy.BlockSize) })
	return list, errors.Join(f.Sync(), f.Close())
}

// hole is a sparse file that is nowhere.
type hole int64

func (h hole) Size() int64                           { return int64(h) }
func (h hole) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

// pushFile is blocksync from one file to another, in this process.
func pushFile(ctx context.Context, from, to string, opts *blockcopy.PushOptions) (blockcopy.Report, error) {
	src, err := blockcopy.OpenSource(from)
	if err != nil {
		return blockcopy.Report{}, err
	}
	report, err := push(ctx, src, to, opts)
	return report, errors.Join(err, src.Close())
}

func push(ctx context.Context, src blockcopy.Source, to string, opts *blockcopy.PushOptions) (blockcopy.Report, error) {
	here, there := net.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- blockcopy.Serve(ctx, there, blockcopy.Paths{}.Open)
		there.Close()
	}()
	report, err := blockcopy.Push(ctx, here, src, to, opts)
	return report, errors.Join(err, <-served)
}
