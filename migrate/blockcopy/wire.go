package blockcopy

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// The talk of Push and Serve, around streams: both say greeting, Push first,
// and then each request is answered by a reply. Messages are JSON behind their
// length, four bytes, big endian.
const (
	greeting   = "XENCOPY3"
	maxMessage = 16 << 10
)

// Request is what a sender wants to write to.
type Request struct {
	Path string `json:"path"`
	Size int64  `json:"size"` // of the source, in bytes
	// Replica asks for one whole generation at any time: see Replica. Else
	// the target is written in place.
	Replica bool `json:"replica,omitempty"`
	// Fresh is the sender's word that the target reads as zeros.
	Fresh bool `json:"fresh,omitempty"`
}

// Verbs of requests.
const (
	verbOpen    = "open"    // answered with an offer; the first one, once
	verbHashes  = "hashes"  // answered with the entries of a part of the target, not with a reply
	verbReceive = "receive" // a stream follows
	verbSum     = "sum"
	verbClose   = "close" // answered when another sender may come
)

type request struct {
	Verb     string    `json:"verb"`
	Open     *Request  `json:"open,omitempty"`
	Key      [32]byte  `json:"key,omitzero"`
	Offset   int64     `json:"offset,omitempty"` // of hashes: whole extents
	Length   int64     `json:"length,omitempty"`
	Transfer *Transfer `json:"transfer,omitempty"`
}

type reply struct {
	Offer *offer     `json:"offer,omitempty"`
	Stats *Stats     `json:"stats,omitempty"`
	Sum   []byte     `json:"sum,omitempty"`
	Error *wireError `json:"error,omitempty"`
}

// offer is what the receiver has.
type offer struct {
	Fresh      bool       `json:"fresh,omitempty"`
	Generation Generation `json:"generation,omitzero"`
	Pending    *Transfer  `json:"pending,omitempty"`
}

// wireError carries an error over the connection, and the word that errors.Is
// finds.
type wireError struct {
	Word string `json:"word,omitempty"`
	Text string `json:"text"`
}

type word struct {
	name string
	err  error
}

func words() []word {
	return []word{
		{"base", ErrBase}, {"size", ErrSize}, {"busy", ErrBusy}, {"stream", ErrStream}, {"no-space", unix.ENOSPC},
		{"not-exist", fs.ErrNotExist}, {"permission", fs.ErrPermission}, {"canceled", context.Canceled},
	}
}

func newWireError(err error) *wireError {
	w := &wireError{Text: err.Error()}
	if len(w.Text) > maxMessage/8 {
		w.Text = w.Text[:maxMessage/8]
	}
	for _, known := range words() {
		if errors.Is(err, known.err) {
			w.Word = known.name
			break
		}
	}
	return w
}

// remoteError is an error of the other side.
type remoteError struct {
	text string
	err  error // the word, or nil
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.err }

func (w *wireError) arrived() error {
	e := &remoteError{text: fmt.Sprintf("the receiver says %q", w.Text)}
	for _, known := range words() {
		if known.name == w.Word {
			e.err = known.err
		}
	}
	return e
}

func writeMessage(w io.Writer, m any) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(text) > maxMessage {
		return fmt.Errorf("a message of %d bytes", len(text))
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	return err
}

// readMessage returns io.EOF if there is none.
func readMessage(r io.Reader, m any) error {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(n[:])
	if size > maxMessage {
		return fmt.Errorf("%w: a message of %d bytes", ErrStream, size)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return fmt.Errorf("%w: it ends in a message: %w", ErrStream, io.ErrUnexpectedEOF)
	}
	if err := json.Unmarshal(text, m); err != nil {
		return fmt.Errorf("%w: %w", ErrStream, err)
	}
	return nil
}

func readGreeting(r io.Reader) error {
	b := make([]byte, len(greeting))
	if n, err := io.ReadFull(r, b); string(b) != greeting {
		if n == 0 && err != nil {
			return err
		}
		return fmt.Errorf("%w: the other side says %q", ErrStream, b[:n])
	}
	return nil
}
