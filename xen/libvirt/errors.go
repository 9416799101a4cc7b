package libvirt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"unicode"

	rpc "github.com/digitalocean/go-libvirt"

	"github.com/xenhost/xenhost/xen"
)

// errLost: the connection broke while the daemon was asked; whether it did it
// is not known.
var errLost = errors.New("the connection to libvirtd broke")

// said is an error that the daemon answered with.
type said struct {
	means error // nil: its code tells nothing
	code  rpc.ErrorNumber
	text  string
}

// Error reads as "file does not exist: Domain not found (libvirt error 42)".
func (e *said) Error() string {
	text := fmt.Sprintf("%s (libvirt error %d)", e.text, e.code)
	if e.means == nil {
		return text
	}
	return e.means.Error() + ": " + text
}

// Unwrap returns the meaning.
func (e *said) Unwrap() error { return e.means }

// explain gives an error of go-libvirt its meaning.
func explain(err error) error {
	var answer rpc.Error
	var known *said
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.As(err, &answer):
		code := rpc.ErrorNumber(answer.Code)
		return &said{means: meaning(code), code: code, text: oneLine(answer.Message)}
	case errors.Is(err, rpc.ErrUnsupported):
		return fmt.Errorf("libvirtd does not know this call: %w", errors.ErrUnsupported)
	case errors.Is(err, rpc.ErrInterrupted), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EPIPE),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return err
}

// answered reports whether err is the daemon's own answer, after which the
// connection can be used on.
func answered(err error) bool {
	var answer rpc.Error
	return errors.As(err, &answer) || errors.Is(err, rpc.ErrUnsupported)
}

// meaning classes libvirt's error codes (virErrorNumber in virterror.h).
func meaning(code rpc.ErrorNumber) error {
	switch code {
	case rpc.ErrNoDomain:
		return fs.ErrNotExist
	case rpc.ErrDomExist:
		return fs.ErrExist
	case rpc.ErrNoSupport, rpc.ErrConfigUnsupported, rpc.ErrOperationUnsupported, rpc.ErrArgumentUnsupported:
		return errors.ErrUnsupported
	case rpc.ErrInvalidArg, rpc.ErrXMLError, rpc.ErrXMLDetail, rpc.ErrXMLInvalidSchema, rpc.ErrOverflow:
		return xen.ErrInvalid
	case rpc.ErrResourceBusy, rpc.ErrOperationTimeout: // the second: another job has the domain
		return xen.ErrBusy
	case rpc.ErrAuthFailed, rpc.ErrAuthCancelled, rpc.ErrAuthUnavailable, rpc.ErrAccessDenied, rpc.ErrOperationDenied:
		return fs.ErrPermission
	}
	return nil
}

// codeOf returns the code of the daemon's answer, or ErrOk.
func codeOf(err error) rpc.ErrorNumber {
	var e *said
	if errors.As(err, &e) {
		return e.code
	}
	return rpc.ErrOk
}

// unclear reports whether err leaves open if the daemon did, or will do, what
// it was asked for.
func unclear(err error) bool {
	var e *said
	var dial *net.OpError
	switch {
	case err == nil, errors.As(err, &e), errors.Is(err, errors.ErrUnsupported), errors.Is(err, net.ErrClosed):
		return false
	case errors.As(err, &dial) && dial.Op == "dial":
		return false
	}
	return true
}

// oneLine keeps a message of the daemon, which can quote others, from writing
// log lines of its own: its first line, at most 300 bytes, without what does not print.
func oneLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}
