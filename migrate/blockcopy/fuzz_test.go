package blockcopy_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/migrate/blockcopy"
)

// FuzzReceive: no bytes crash the receiver, make it allocate without bounds,
// or write outside the volume; and nothing but the stream that was sent is
// taken for one.
func FuzzReceive(f *testing.F) {
	const size = 64 << 10
	src, tr := newDisk(size), blockcopy.Transfer{Size: size}
	fill(src.data, 6)
	s, _ := stream(f, src, nil, tr)
	f.Add(s)
	f.Add(s[:100])
	f.Add([]byte("XENHOST1"))
	f.Fuzz(func(t *testing.T, in []byte) {
		dst := newDisk(size)
		got, err := blockcopy.Receive(t.Context(), bytes.NewReader(in), dst, tr, nil)
		require.NotErrorIs(t, err, errBounds)
		require.LessOrEqual(t, got.Next.Offset, int64(size))
		if err == nil && got.Frames > 0 {
			require.True(t, bytes.HasPrefix(in, s))
		}
	})
}

// FuzzFrame: a sender that knows the key says whatever it likes in a header
// whose checksums and proofs are right. What is written lies in the volume, and
// is what it proved.
func FuzzFrame(f *testing.F) {
	const size = 1<<20 + 1000
	f.Add(byte(1), byte(0), uint64(0), uint64(1), uint32(4096), uint32(4096), make([]byte, 4096))
	f.Add(byte(1), byte(0), uint64(1<<20), uint64(1), uint32(1000), uint32(1000), make([]byte, 1000))
	f.Add(byte(2), byte(0), uint64(0), uint64(7), uint32(3*4096), uint32(0), []byte{})
	f.Add(byte(1), byte(1), uint64(0), uint64(1), uint32(4096), uint32(20), []byte("(\xb5/\xfd not zstd at all"))
	f.Fuzz(func(t *testing.T, typ, codec byte, offset, blocks uint64, raw, coded uint32, payload []byte) {
		fo := newForge(size)
		fo.head(typ, codec, offset, blocks, raw, coded, payload, payload).end()
		dst := newDisk(size)
		_, err := blockcopy.Receive(t.Context(), &fo.out, dst, fo.tr, nil)
		require.NotErrorIs(t, err, errBounds)
		if err != nil {
			require.Zero(t, dst.writes)
		}
	})
}

// FuzzServe: no bytes crash the receiver's end or change what it holds, except
// a stream that it was asked to take.
func FuzzServe(f *testing.F) {
	f.Add([]byte("XENCOPY3"))
	f.Add([]byte("XENCOPY3\x00\x00\x00\x02{}"))
	f.Add([]byte("XENCOPY3\xff\xff\xff\xff"))
	f.Add([]byte("XENCOPY3\x00\x00\x00\x4e" + `{"verb":"open","open":{"path":"/dev/guests/web1","size":65536,"replica":true}} `))
	f.Add([]byte("XENCOPY3\x00\x00\x00\x3e" + `{"verb":"open","open":{"path":"/dev/guests/web1","size":65536}}` + "\x00\x00\x00\x11" + `{"verb":"hashes"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		p := newPeer(64 << 10)
		err := blockcopy.Serve(t.Context(), struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(in), io.Discard}, p.open)
		require.NotErrorIs(t, err, errBounds)
		require.Equal(t, make([]byte, 64<<10), p.dst.data)
		require.Equal(t, make([]byte, 64<<10), p.sim.now)
		require.Zero(t, p.store.state.Generation)
	})
}

// FuzzPush: no answer crashes the sender's end, or makes it believe that the
// receiver holds what it does not.
func FuzzPush(f *testing.F) {
	f.Add([]byte("XENCOPY3"))
	f.Add([]byte("XENCOPY3\x00\x00\x00\x1a" + `{"offer":{"fresh":true}}  `))
	f.Add([]byte("XENCOPY3\x00\x00\x00\x0c" + `{"offer":{}}` + string(make([]byte, 4096))))
	f.Add([]byte("XENCOPY3\x00\x00\x00\x21" + `{"error":{"text":"disk on fire"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		src := newDisk(64 << 10)
		fill(src.data, 1)
		index := filepath.Join(t.TempDir(), "index")
		_, err := blockcopy.Push(context.Background(), &scripted{bytes.NewReader(in)}, src, "x", &blockcopy.PushOptions{Index: index})
		require.Error(t, err)
		if text, err := os.ReadFile(index); err == nil {
			require.NotContains(t, string(text[:4096]), `"generation"`)
		}
	})
}

// scripted is a connection to a peer that has said all it will ever say.
type scripted struct{ io.Reader }

func (s *scripted) Write(b []byte) (int, error) { return len(b), nil }
func (s *scripted) Close() error                { return nil }
