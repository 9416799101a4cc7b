package xenstore

import (
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/xenhost/xenhost/xen/xenstore/internal/wire"
)

// Untrusted is the value of a node. Whoever may write the node chose the
// bytes, and for most of what is below /local/domain/N this is the guest.
// string(v) is therefore a decision; the methods check instead.
type Untrusted []byte

// String returns the value quoted and cut to 128 bytes, for logs.
func (v Untrusted) String() string {
	if len(v) > 128 {
		return strconv.Quote(string(v[:128])) + "…"
	}
	return strconv.Quote(string(v))
}

// Text returns the value if it is UTF-8 of printable characters and blanks, of
// at most limit bytes; else ErrInvalid.
func (v Untrusted) Text(limit int) (string, error) {
	if len(v) > limit {
		return "", fmt.Errorf("%w: value of %d bytes, %d at most", ErrInvalid, len(v), limit)
	}
	if !utf8.Valid(v) {
		return "", fmt.Errorf("%w: value %s is not UTF-8", ErrInvalid, v)
	}
	for _, r := range string(v) {
		if !unicode.IsPrint(r) {
			return "", fmt.Errorf("%w: value %s has characters that do not print", ErrInvalid, v)
		}
	}
	return string(v), nil
}

// Int returns the value if it is a decimal number from least to most; else
// ErrInvalid.
func (v Untrusted) Int(least, most int64) (int64, error) {
	if len(v) > 20 {
		return 0, fmt.Errorf("%w: value %s is not a number", ErrInvalid, v)
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || v[0] == '+' {
		return 0, fmt.Errorf("%w: value %s is not a number", ErrInvalid, v)
	}
	if n < least || n > most {
		return 0, fmt.Errorf("%w: value %s is not from %d to %d", ErrInvalid, v, least, most)
	}
	return n, nil
}

// Path returns the value if it is an absolute xenstore path; else ErrInvalid.
// It says nothing about whose path it is: a guest can point anywhere.
func (v Untrusted) Path() (string, error) {
	if !wire.ValidPath(string(v)) {
		return "", fmt.Errorf("%w: value %s is not a path", ErrInvalid, v)
	}
	return string(v), nil
}
