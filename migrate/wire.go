package migrate

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/hashicorp/yamux"
)

const (
	// magic is what each side says first, so that a login banner or a shell's
	// error on the connection is told from a peer.
	magic   = "XENHOST1"
	version = 1

	maxRequest = 1 << 20  // bytes of JSON
	maxReply   = 16 << 20 // a list of guests is longer than any request
	maxChunk   = 2 << 20  // bytes of bulk data in one piece
)

// Keepalive says how soon a dead connection is noticed; every call on it then
// ends with ErrUnreachable.
type Keepalive struct {
	// Every is how often the other side is asked for a sign of life; 0 is 10 s.
	Every time.Duration
	// Within is how long nothing may arrive, and nothing of what is to be sent
	// leave, after that; 0 is 30 s. A line that is slow is not dead.
	Within time.Duration
}

func (k Keepalive) withDefaults() Keepalive {
	if k.Every <= 0 {
		k.Every = 10 * time.Second
	}
	if k.Within <= 0 {
		k.Within = 30 * time.Second
	}
	return k
}

// muxConfig sets up yamux: one stream a call. Its own time-outs count how long
// a frame waits, also behind a copy; pulse.watch ends a dead session instead.
func muxConfig(log *slog.Logger) *yamux.Config {
	c := yamux.DefaultConfig()
	c.EnableKeepAlive, c.ConnectionWriteTimeout, c.StreamOpenTimeout = false, 24*time.Hour, 0
	// What is on the way is at most this. The other side says so for each half
	// of it that it has taken, so a line of 26 kB/s is still seen to move.
	c.MaxStreamWindowSize = 1 << 20
	c.LogOutput, c.Logger = nil, muxLog{log}
	return c
}

// muxLog gives yamux's lines to slog: it logs what also ends a call with an
// error, so debug is the level.
type muxLog struct{ log *slog.Logger }

func (m muxLog) Print(v ...any) { m.log.Debug(strings.TrimSpace(fmt.Sprint(v...))) }
func (m muxLog) Printf(format string, v ...any) {
	m.log.Debug(strings.TrimSpace(fmt.Sprintf(format, v...)))
}
func (m muxLog) Println(v ...any) { m.log.Debug(strings.TrimSpace(fmt.Sprintln(v...))) }

// request opens a call: one message, then bulk data if the verb has some, then
// one reply.
type request struct {
	Verb string          `json:"verb"`
	Hold uint64          `json:"hold,omitempty"` // of verbs that need a held guest
	Args json.RawMessage `json:"args,omitempty"`
}

type reply struct {
	Error  *wireError      `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// writeMessage writes the length, 4 bytes, big endian, and the JSON of v.
func writeMessage(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...))
	return err
}

// readMessage refuses a length beyond limit before it makes room for it.
func readMessage(r io.Reader, limit uint32, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > limit {
		return fmt.Errorf("%w: a message of %d bytes", ErrProtocol, n)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return nil
}

// chunkWriter sends bulk data of unknown length: pieces, each with its length
// before it. Close sends the empty piece that ends it.
type chunkWriter struct{ w io.Writer }

func (c chunkWriter) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := min(len(p)-done, maxChunk)
		if err := c.head(n); err != nil {
			return done, err
		}
		k, err := c.w.Write(p[done : done+n])
		if done += k; err != nil {
			return done, err
		}
	}
	return len(p), nil
}

func (c chunkWriter) Close() error { return c.head(0) }

func (c chunkWriter) head(n int) error {
	_, err := c.w.Write(binary.BigEndian.AppendUint32(nil, uint32(n)))
	return err
}

// chunkReader reads what one chunkWriter sent, up to its Close.
type chunkReader struct {
	r    io.Reader
	left uint32
	done bool
}

func (c *chunkReader) Read(p []byte) (int, error) {
	if c.done {
		return 0, io.EOF
	}
	if c.left == 0 {
		var head [4]byte
		if _, err := io.ReadFull(c.r, head[:]); err != nil {
			return 0, unexpected(err)
		}
		if c.left = binary.BigEndian.Uint32(head[:]); c.left > maxChunk {
			return 0, fmt.Errorf("%w: a piece of %d bytes", ErrProtocol, c.left)
		}
		if c.left == 0 {
			c.done = true
			return 0, io.EOF
		}
	}
	n, err := c.r.Read(p[:min(len(p), int(c.left))])
	c.left -= uint32(n)
	return n, unexpected(err)
}

// unexpected is for an end that comes before the end was said. It is neither
// io.EOF nor io.ErrUnexpectedEOF, which readers of images take for an end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the data ended in the middle", ErrUnreachable)
	}
	return err
}
