package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWords(t *testing.T) {
	assert.Len(t, SayBanner, 54)
	assert.Len(t, SayGo, 44)
	assert.Len(t, SayReady, 34)
	assert.Len(t, SayReport, 39)
}

// FuzzTarget gives whatever may come over the wire to a Target: it ends with an
// error, holds no more than a frame, and its xl is never told that the domain is
// its own unless a frame said so.
func FuzzTarget(f *testing.F) {
	var good bytes.Buffer
	s := &sender{w: &good}
	p, err := newPacker(s)
	require.NoError(f, err)
	require.NoError(f, p.pack(append(make([]byte, 5000), "memory"...)))
	require.NoError(f, s.send(kindGo, nil))
	f.Add(good.Bytes())
	f.Add([]byte{byte(kindZeros), 8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0})
	f.Add([]byte{byte(kindPacked), 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		xl := &deaf{}
		_, err := Target(context.Background(), xl, &once{bytes.NewReader(data)}, nil)
		if err == nil {
			t.Fatal("it ended well without an xl that speaks")
		}
	})
}

// FuzzPack: what is packed is what is unpacked.
func FuzzPack(f *testing.F) {
	f.Add([]byte("memory"), 3000)
	f.Add([]byte{0, 0, 1}, 1024)
	f.Fuzz(func(t *testing.T, part []byte, zeros int) {
		if zeros < 0 || zeros > 1<<20 {
			return
		}
		data := append(append(bytes.Clone(part), make([]byte, zeros)...), part...)
		var wire, got bytes.Buffer
		p, err := newPacker(&sender{w: &wire})
		require.NoError(t, err)
		require.NoError(t, p.pack(data))
		u, err := newUnpacker(&got)
		require.NoError(t, err)
		for wire.Len() > 0 {
			fr, err := readFrame(&wire, nil)
			require.NoError(t, err)
			require.NoError(t, u.unpack(fr))
		}
		require.True(t, bytes.Equal(data, got.Bytes()))
	})
}

// deaf is an xl that takes up to 1 MiB and says nothing.
type deaf struct{ n int }

var errFull = errors.New("enough")

func (d *deaf) Write(p []byte) (int, error) {
	if d.n += len(p); d.n > 1<<20 {
		return 0, errFull
	}
	return len(p), nil
}

func (d *deaf) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// once is a wire that takes everything.
type once struct{ io.Reader }

func (once) Write(p []byte) (int, error) { return len(p), nil }
