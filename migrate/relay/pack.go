package relay

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// zeroRun is how many zeros in a row become a frame of their own.
const zeroRun = 1 << 10

// packer turns bytes of a domain into frames.
type packer struct {
	to      *sender
	encoder *zstd.Encoder
	coded   []byte
	stats   Stats
}

func newPacker(to *sender) (*packer, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	return &packer{to: to, encoder: e}, err
}

// pack sends p, and keeps nothing back: the other side may wait for it.
func (c *packer) pack(p []byte) error {
	c.stats.Bytes += int64(len(p))
	for len(p) > 0 {
		plain, zeros := split(p)
		for part := p[:plain]; len(part) > 0; {
			n := min(len(part), maxPlain)
			if err := c.data(part[:n]); err != nil {
				return err
			}
			part = part[n:]
		}
		if zeros > 0 {
			c.stats.Zeros += int64(zeros)
			if err := c.to.send(kindZeros, binary.LittleEndian.AppendUint64(nil, uint64(zeros))); err != nil {
				return err
			}
		}
		p = p[plain+zeros:]
	}
	return nil
}

func (c *packer) data(p []byte) error {
	c.coded = c.encoder.EncodeAll(p, c.coded[:0])
	if len(c.coded) < len(p) {
		return c.to.send(kindPacked, c.coded)
	}
	return c.to.send(kindPlain, p)
}

func (c *packer) close() { c.encoder.Close() }

// split returns how many bytes come before the first long run of zeros in p,
// and how long that run is; 0 if there is none.
func split(p []byte) (plain, zeros int) {
	for at := 0; at < len(p); {
		if p[at] != 0 {
			at++
			continue
		}
		end := at + 1
		for end+8 <= len(p) && binary.LittleEndian.Uint64(p[end:]) == 0 {
			end += 8
		}
		for end < len(p) && p[end] == 0 {
			end++
		}
		if end-at >= zeroRun {
			return at, end - at
		}
		at = end
	}
	return len(p), 0
}

// unpacker turns frames into the bytes of the domain.
type unpacker struct {
	to      io.Writer
	decoder *zstd.Decoder
	plain   []byte
	stats   Stats
}

func newUnpacker(to io.Writer) (*unpacker, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPlain))
	return &unpacker{to: to, decoder: d}, err
}

func (u *unpacker) unpack(f frame) error {
	switch f.kind {
	case kindPlain:
		return u.write(f.body)
	case kindPacked:
		plain, err := u.decoder.DecodeAll(f.body, u.plain[:0])
		if err != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		u.plain = plain
		return u.write(plain)
	}
	if len(f.body) != 8 {
		return fmt.Errorf("%w: zeros without a number", ErrProtocol)
	}
	n := binary.LittleEndian.Uint64(f.body)
	if n > maxZeros {
		return fmt.Errorf("%w: %d zeros", ErrProtocol, n)
	}
	u.stats.Zeros += int64(n)
	zeros := make([]byte, min(n, maxPlain))
	for n > 0 {
		k := min(n, maxPlain)
		if err := u.write(zeros[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

func (u *unpacker) write(p []byte) error {
	u.stats.Bytes += int64(len(p))
	_, err := u.to.Write(p)
	return err
}

func (u *unpacker) close() { u.decoder.Close() }

// Stats is what went through a part.
type Stats struct {
	Bytes int64 `json:"bytes"` // of the domain, as xl wrote or read them
	Zeros int64 `json:"zeros"` // of those: zeros that travelled as a number
	Wire  int64 `json:"wire"`  // on the connection, one way
}
