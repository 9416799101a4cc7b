package blockcopy_test

import (
	"crypto/sha256"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/blockcopy"
)

const benchSize = 64 << 20

// BenchmarkCopy carries mixed data (40 % zeros, 30 % noise, 30 % text) through
// a net.Pipe into a fresh volume: packed, hashed and proven.
func BenchmarkCopy(b *testing.B) {
	src, dst := newDisk(benchSize), newDisk(benchSize)
	fill(src.data, 7)
	b.SetBytes(benchSize)
	var wire int64
	for b.Loop() {
		tr := blockcopy.NewTransfer(benchSize)
		tr.Fresh = true
		r, w := net.Pipe()
		sent := make(chan error, 1)
		go func() {
			stats, err := blockcopy.Send(b.Context(), w, src, tr, nil)
			wire = stats.Wire
			sent <- err
		}()
		_, err := blockcopy.Receive(b.Context(), r, dst, tr, nil)
		require.NoError(b, err)
		require.NoError(b, <-sent)
	}
	b.ReportMetric(float64(wire)/benchSize, "wire/volume")
}

// BenchmarkPlain carries the same bytes through the same pipe by io.Copy:
// nothing packed, nothing proven.
func BenchmarkPlain(b *testing.B) {
	src, dst := newDisk(benchSize), newDisk(benchSize)
	fill(src.data, 7)
	b.SetBytes(benchSize)
	for b.Loop() {
		r, w := net.Pipe()
		go func() {
			_, _ = io.CopyBuffer(w, justReader{io.NewSectionReader(src, 0, benchSize)}, make([]byte, 1<<20))
			w.Close()
		}()
		_, err := io.CopyBuffer(justWriter{io.NewOffsetWriter(dst, 0)}, justReader{r}, make([]byte, 1<<20))
		require.NoError(b, err)
	}
}

// BenchmarkSum is the comparison at the end of a move, one end of it.
func BenchmarkSum(b *testing.B) {
	src := newDisk(benchSize)
	fill(src.data, 7)
	b.SetBytes(benchSize)
	for b.Loop() {
		_, err := blockcopy.Sum(b.Context(), src, benchSize)
		require.NoError(b, err)
	}
}

type justReader struct{ io.Reader }

// BenchmarkHashes is what an index costs: reading, and a keyed HighwayHash-128
// of each block.
func BenchmarkHashes(b *testing.B) {
	src := newDisk(benchSize)
	fill(src.data, 7)
	b.SetBytes(benchSize)
	for b.Loop() {
		require.NoError(b, blockcopy.Hashes(b.Context(), io.Discard, src, benchSize, [32]byte{1}))
	}
}

// BenchmarkBlocksSHA256 is what it would cost with SHA-256, on one core and
// without the reading.
func BenchmarkBlocksSHA256(b *testing.B) {
	src := newDisk(benchSize)
	fill(src.data, 7)
	b.SetBytes(benchSize)
	for b.Loop() {
		for at := 0; at < benchSize; at += blockcopy.BlockSize {
			sha256.Sum256(src.data[at : at+blockcopy.BlockSize])
		}
	}
}
