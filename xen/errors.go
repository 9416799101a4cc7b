package xen

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// What the standard errors have no word for. fs.ErrNotExist, fs.ErrExist,
// errors.ErrUnsupported and the context errors are used where they fit.
var (
	// ErrNoMemory: the host has not enough free memory for the domain.
	ErrNoMemory = errors.New("not enough free memory")
	// ErrBusy: another domain holds a disk or the domain is in another operation.
	ErrBusy = errors.New("in use")
	// ErrDirty: the operation failed and what it left could not be removed.
	ErrDirty = errors.New("left in an unclear state")
	// ErrNoAnswer: the guest was asked and did not do it in time. The request
	// stands where Xen has no way to take it back.
	ErrNoAnswer = errors.New("the guest did not do what it was asked for")
	// ErrInvalid: the spec or an argument is refused; nothing was tried.
	ErrInvalid = errors.New("invalid")
)

// Error says which operation failed on which domain.
type Error struct {
	Op   string // the verb, as "create"
	Name string // the domain's name or UUID
	Err  error
}

// Error reads as "xen: create web1: not enough free memory".
func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("xen: %s: %v", e.Op, e.Err)
	}
	name := e.Name
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		name = strconv.Quote(name) // a refused name must not write its own log lines
	}
	return fmt.Sprintf("xen: %s %s: %v", e.Op, name, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
