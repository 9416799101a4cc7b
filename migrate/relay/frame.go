package relay

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// kind is the type of a frame.
type kind byte

const (
	kindPing   kind = iota // a sign of life
	kindHello              // target: its xl listens
	kindPlain              // source: bytes of the domain
	kindPacked             // source: a zstd frame of such bytes
	kindZeros              // source: 8 bytes, how many zeros come here
	kindReady              // target: it has all of the domain
	kindGo                 // source: the domain is the target's
	kindRuns               // target: it runs
	kindFailed             // target: why not, in words
	kinds
)

const (
	headSize = 5
	maxPlain = 256 << 10 // bytes of the domain in one frame
	maxFrame = maxPlain + 1024
	maxWords = 4 << 10
	maxZeros = 1 << 40 // bytes of zeros in one frame
)

type frame struct {
	kind kind
	body []byte
}

// limit is how long the body of a kind may be.
func (k kind) limit() uint32 {
	switch k {
	case kindPlain:
		return maxPlain
	case kindPacked:
		return maxFrame
	case kindZeros:
		return 8
	case kindFailed:
		return maxWords
	}
	return 0
}

// readFrame reads one frame into buf, which it may replace.
func readFrame(r io.Reader, buf []byte) (frame, error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{kind: kind(head[0])}
	n := binary.LittleEndian.Uint32(head[1:])
	if f.kind >= kinds || n > f.kind.limit() {
		return frame{}, fmt.Errorf("%w: frame of kind %d with %d bytes", ErrProtocol, f.kind, n)
	}
	if uint32(cap(buf)) < n {
		buf = make([]byte, n)
	}
	f.body = buf[:n]
	if _, err := io.ReadFull(r, f.body); err != nil {
		return frame{}, fmt.Errorf("%w: it ended in a frame: %w", ErrProtocol, err)
	}
	return f, nil
}

// sender writes frames, from several goroutines.
type sender struct {
	mu   sync.Mutex
	w    io.Writer
	buf  []byte
	sent int64
}

func (s *sender) send(k kind, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf = append(s.buf[:0], byte(k))
	s.buf = binary.LittleEndian.AppendUint32(s.buf, uint32(len(body)))
	s.buf = append(s.buf, body...)
	n, err := s.w.Write(s.buf)
	s.sent += int64(n)
	return err
}

// ping is send of a sign of life, unless a frame is on its way already.
func (s *sender) ping() error {
	if !s.mu.TryLock() {
		return nil
	}
	s.mu.Unlock()
	return s.send(kindPing, nil)
}

func (s *sender) total() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}
