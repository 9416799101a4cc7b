package xenstore

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// What the standard errors have no word for. fs.ErrNotExist, fs.ErrExist,
// fs.ErrPermission, errors.ErrUnsupported and the context errors are used
// where they fit.
var (
	// ErrInvalid: a path, value or permission is refused, here or by xenstored.
	ErrInvalid = errors.New("invalid")
	// ErrConflict: others kept changing what a transaction had looked at.
	ErrConflict = errors.New("others changed the same nodes at the same time")
	// ErrQuota: a domain has as many nodes, watches or transactions, or a node
	// as many bytes, as xenstored allows it. Dom0 itself has no quota.
	ErrQuota = errors.New("a quota of xenstored is used up")
	// ErrLost: the connection has ended, and all watches with it.
	ErrLost = errors.New("connection to xenstored lost")
	// ErrClosed: the caller closed the client or the watch.
	ErrClosed = errors.New("closed")
	// ErrOver: the transaction has ended already.
	ErrOver = errors.New("transaction is over")
	// errTooBig: the answer does not fit into one message.
	errTooBig = errors.New("too big for one message")
)

// Error says which operation failed on which path.
type Error struct {
	Op   string // the verb, as "read"
	Path string
	Err  error
}

// Error reads as "xenstore: read /local/domain/7/name: file does not exist".
func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("xenstore: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("xenstore: %s %s: %v", e.Op, printable(e.Path), e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// printable quotes a refused path, so that it can not write its own log lines.
func printable(path string) string {
	if quoted := fmt.Sprintf("%q", path); quoted != `"`+path+`"` || len(path) > 256 {
		return quoted[:min(len(quoted), 256)]
	}
	return path
}

func wrap(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Path: path, Err: err}
}

// meaning returns the error for a name that xenstored or the kernel uses.
func meaning(name string) error {
	var means error
	switch name {
	case "ENOENT":
		return fs.ErrNotExist
	case "EEXIST":
		return fs.ErrExist
	case "EACCES", "EPERM", "EROFS":
		means = fs.ErrPermission
	case "ENOSYS":
		means = errors.ErrUnsupported
	case "EINVAL", "EISDIR":
		means = ErrInvalid
	case "EAGAIN":
		return ErrConflict
	case "ENOSPC", "ENOMEM":
		means = ErrQuota
	case "E2BIG":
		return errTooBig
	default:
		return fmt.Errorf("xenstored answers %q", name)
	}
	return fmt.Errorf("%w (%s)", means, name)
}

// errnoMeaning is meaning for what a write to the device returns: the kernel
// answers some requests itself.
func errnoMeaning(errno syscall.Errno) error {
	for number, name := range map[syscall.Errno]string{
		syscall.ENOENT: "ENOENT", syscall.EEXIST: "EEXIST", syscall.EACCES: "EACCES", syscall.EPERM: "EPERM",
		syscall.EINVAL: "EINVAL", syscall.ENOSPC: "ENOSPC", syscall.ENOMEM: "ENOMEM", syscall.E2BIG: "ENOSPC", syscall.ENOSYS: "ENOSYS",
	} {
		if errno == number {
			return meaning(name)
		}
	}
	return errno
}
